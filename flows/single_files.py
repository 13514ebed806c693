"""Features of single files, without a store and without Prefect: the numbers of a run, in the manner of opensmile."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from configs.errors import ConfigError, RunError
from configs.paths import local_path
from configs.schema import ExtractorEntry, RunConfig, load_config
from extractors.core.extractor import Extractor
from extractors.core.media.clip_media import Media
from flows.loading import load_extractors
from flows.plan import build_extractors
from storage.clip import Clip
from storage.corpora._shared.ids import safe_id
from storage.corpora._shared.media_finder import media_files
from storage.errors import ClipError
from storage.media_files import is_image
from storage.records import Failure, Features, FeatureSpec
from storage.vocabulary.media_suffixes import AUDIO_SUFFIXES

if TYPE_CHECKING:
    import pandas as pd


class SingleFiles:
    """Extracts features of files, one after another; networks stay loaded.

    Args:
        config: What to extract.
        features: Names of the features to give; all of the configuration if None.

    Raises:
        RunError: If an extractor does not exist, or weights of one are not on this machine.
    """

    def __init__(self, config: RunConfig, features: Sequence[str] | None = None) -> None:
        self._extractors: list[Extractor[Any]] = build_extractors(config, features)
        wanted = [entry.feature_name for entry in config.extractors] if features is None else features
        self._wanted = tuple(wanted)
        self._threads = config.cluster.threads

    @property
    def specs(self) -> dict[str, FeatureSpec]:
        """What each feature's numbers are."""
        return {e.feature: e.spec for e in self._extractors if e.feature in self._wanted}

    def outcomes(
        self, file: Path, start: float | None = None, end: float | None = None
    ) -> dict[str, Features | Failure]:
        """What becomes of each feature of a file.

        Args:
            file: A media file, or an image.
            start: Seconds at which to start; the file's beginning if None.
            end: Seconds at which to end; the file's end if None.
        """
        return self.outcomes_of(_clip_of(file, start, end), file.parent)

    def outcomes_of(self, clip: Clip, root: Path) -> dict[str, Features | Failure]:
        """What becomes of each feature of a clip.

        Args:
            clip: The clip.
            root: Folder that its paths are relative to.
        """
        load_extractors(self._extractors, self._threads)
        modalities = {modality for e in self._extractors for modality in e.decodes}
        media = Media(clip, root, audio="audio" in modalities, video="video" in modalities)
        media.decode()
        found: dict[str, Features | Failure] = {}
        for extractor in self._extractors:
            if not extractor.releases_gil:
                extractor.prepare(media)
            (outcome,) = extractor.outcomes([media])
            if isinstance(outcome, Features):
                outcome = replace(outcome, columns=extractor.spec.columns)
            media.set_feature(extractor.feature, outcome)
            found[extractor.feature] = outcome
        media.close()
        return {name: found[name] for name in self._wanted}

    def features(self, file: Path, start: float | None = None, end: float | None = None) -> dict[str, Features]:
        """Each feature of a file.

        Args:
            file: A media file, or an image.
            start: Seconds at which to start; the file's beginning if None.
            end: Seconds at which to end; the file's end if None.

        Raises:
            ClipError: Why the file does not have one of them.
        """
        given: dict[str, Features] = {}
        for name, outcome in self.outcomes(file, start, end).items():
            if isinstance(outcome, Failure):
                raise ClipError(outcome.reason, f"{file}: {name}: {outcome.message}", stage=outcome.stage)
            given[name] = outcome
        return given

    def close(self) -> None:
        """Free what was loaded."""
        for extractor in self._extractors:
            extractor.close()


class FileExtractor:
    """One extractor for single files: `process_file`, `process_signal`, `process_folder` give tables of pandas.

    Args:
        name: Name of the extractor.
        options: Its options, such as `feature_set="eGeMAPSv02"`; one that is called like a section of a configuration
            holds the options of a feature that it is computed from.

    Attributes:
        spec: What its numbers are: columns, units, recipe.
        failures: What `process_folder` left out, by file.
    """

    def __init__(self, name: str, options: dict[str, Any]) -> None:
        sections = {key: options.pop(key) for key in options.keys() & RunConfig.model_fields.keys()}
        config = RunConfig.model_validate({"extractors": [{"name": name, **options}], **sections})
        self._files, self._name = SingleFiles(config), name
        self.spec = self._files.specs[name]
        self.failures: dict[str, str] = {}

    def process_file(self, file: str | Path, start: float | None = None, end: float | None = None) -> pd.DataFrame:
        """The feature of a file: index (file, start, end), columns by name; NaN where not valid.

        Args:
            file: A media file, or an image.
            start: Seconds at which to start; the file's beginning if None.
            end: Seconds at which to end; the file's end if None.

        Raises:
            ClipError: Why the file has no such feature.
        """
        frame = self._files.features(local_path(file), start, end)[self._name].to_frame()
        return _named(frame, str(file))

    def process_signal(self, signal: npt.ArrayLike, rate: int) -> pd.DataFrame:
        """The feature of samples, as that of a WAV file that holds them: index (start, end).

        Args:
            signal: (N,) or (channels, N) samples, floating point in -1..1 or int16.
            rate: Samples per second.

        Raises:
            ClipError: Why they have no such feature.
        """
        from scipy.io import wavfile

        samples = np.asarray(signal)
        if samples.ndim not in {1, 2} or samples.dtype.kind not in "fi":
            raise ConfigError(f"signal: expected (N,) or (channels, N) numbers, got {samples.shape} {samples.dtype}")
        kept = samples if samples.dtype == np.int16 else samples.astype(np.float32)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "signal.wav"
            wavfile.write(file, rate, kept.T)
            return self._files.features(file)[self._name].to_frame()

    def process_folder(self, folder: str | Path, errors: Literal["raise", "omit"] = "raise") -> pd.DataFrame:
        """The feature of every media file of a folder and below: index (file, start, end).

        Args:
            folder: The folder.
            errors: `omit` leaves out files that have no such feature, and says why in `failures`.

        Raises:
            ClipError: Why a file has none.
            RunError: If the folder has no media.
        """
        import pandas as pd

        root = local_path(folder)
        names = media_files(root) if root.is_dir() else []
        if not names:
            raise RunError(f"{root}: no media files in it and below")
        self.failures, frames = {}, []
        for name in names:
            try:
                frames.append(self.process_file(root / name))
            except ClipError as error:
                if errors == "raise":
                    raise
                self.failures[name] = f"{error.reason}: {error.message}"
        return pd.concat(frames) if frames else pd.DataFrame(columns=list(self.spec.columns))

    def close(self) -> None:
        """Free what was loaded."""
        self._files.close()


def extract(
    file: str | Path,
    features: str | Iterable[str],
    config: str | Path | None = None,
    start: float | None = None,
    end: float | None = None,
) -> dict[str, Features]:
    """Features of one file, without a store: the same numbers as a run.

    Args:
        file: A media file, or an image.
        features: Names of features: of a configuration, or of extractors with their defaults.
        config: YAML file or shipped name; extractors with their defaults if None.
        start: Seconds at which to start; the file's beginning if None.
        end: Seconds at which to end; the file's end if None.

    Raises:
        RunError: If a feature does not exist, or its weights are not on this machine.
        ClipError: Why the file does not have one of them.
    """
    names = [features] if isinstance(features, str) else list(features)
    files = open_files(names, config)
    try:
        return files.features(local_path(file), start, end)
    finally:
        files.close()


def open_files(features: Sequence[str], config: str | Path | None) -> SingleFiles:
    """What extracts features of single files.

    Args:
        features: Names of features of the configuration, or of extractors.
        config: YAML file or shipped name; extractors with their defaults if None.
    """
    if config is not None:
        return SingleFiles(load_config(config), features)
    entries = tuple(ExtractorEntry(name=name) for name in dict.fromkeys(features))
    return SingleFiles(RunConfig(extractors=entries), list(dict.fromkeys(features)))


def _clip_of(file: Path, start: float | None, end: float | None) -> Clip:
    video = None if file.suffix.lower() in AUDIO_SUFFIXES else file.name
    audio = None if is_image(file.name) else file.name
    try:
        return Clip(safe_id(file.stem), video=video, audio=audio, start=start, end=end)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _named(frame: pd.DataFrame, file: str) -> pd.DataFrame:
    import pandas as pd

    return pd.concat({file: frame}, names=["file"])
