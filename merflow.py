"""What users import: open a store, and the nouns in it. Light: no torch, Prefect or Dask behind it.

import merflow
store = merflow.open_store("store")
features = store.get("clip_1_Cooking_1", "gemaps")   # values (T, 18), times (T, 2) seconds, valid (T,)
merflow.extract("clip.mp4", "gemaps")["gemaps"].to_frame()   # of one file, without a store
"""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

try:
    from storage.clip import Clip
    from storage.records import Failure, Features, FeatureSpec
    from storage.store.store import FeatureStore, open_store
except ModuleNotFoundError as error:
    hidden = (error.name or "").partition(".")[0]
    if hidden not in {"configs", "storage"}:
        raise
    taken = getattr(sys.modules.get(hidden), "__file__", hidden)
    raise ImportError(
        f"{taken} comes before merflow's own package `{hidden}` on Python's path; "
        f"rename it, or run the script from another folder"
    ) from error

if TYPE_CHECKING:
    from flows.single_files import FileExtractor

__all__ = ["Clip", "Failure", "FeatureSpec", "FeatureStore", "Features", "extract", "extractor", "open_store"]


def extract(
    file: str | Path,
    features: str | Iterable[str],
    config: str | Path | None = None,
    start: float | None = None,
    end: float | None = None,
) -> dict[str, Features]:
    """Features of one file, without a store and without Prefect: the same numbers as a run.

    Args:
        file: A media file, or an image.
        features: Names of features: of a configuration, or of extractors with their defaults.
        config: YAML file or shipped name (`indomer`, `merr`); extractors with their defaults if None.
        start: Seconds at which to start; the file's beginning if None.
        end: Seconds at which to end; the file's end if None.

    Returns:
        `values`, `times` and `valid` of each feature by its name; `to_frame()` makes a table of pandas of one.

    Raises:
        RunError: If a feature does not exist, or its weights are not on this machine.
        ClipError: Why the file does not have one of them.
    """
    from flows import single_files

    return single_files.extract(file, features, config, start, end)


def extractor(name: str, **options: Any) -> "FileExtractor":
    """An extractor for single files, in the manner of opensmile: `process_file`, `process_signal`, `process_folder`.

    Args:
        name: Name of the extractor, see `merflow extractors`.
        options: Its options, such as `feature_set="eGeMAPSv02"`.

    Raises:
        RunError: If there is no such extractor, or its weights are not on this machine.
        ConfigError: If it has no such option.
    """
    from flows.single_files import FileExtractor

    return FileExtractor(name, options)
