"""The run configuration: what to extract, with which weights, on which machines.

A configuration file holds only what differs from the defaults below. An unknown key is an error that names
the valid ones. Settings of one extractor (`recipe`, `feature_set`, ...) are checked by that extractor.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from configs.errors import ConfigError
from configs.paths import as_path
from configs.plugins import Section, parse
from configs.sections import Faces, Speaking, VoiceActivity

SAME_RECIPES = dict.fromkeys(("mer2024", "mer2025", "mer2026"), "merbench")
"""Challenges whose feature scripts are another one's: those for audio and text are the same byte for byte."""
PATHS = ("local", "csv_folder", "root")
"""Keys of a configuration file that hold paths, relative to it."""


class Cluster(Section):
    """Where shards run.

    Attributes:
        engine: `auto` (one process for few clips, else local Dask), `local` (one process beside the run's), `dask`
            (local Dask worker processes), a scheduler address such as `tcp://host:8786`, the dotted name of a Dask
            cluster class, such as `dask_jobqueue.SLURMCluster`, or `inline` (in the run's own process, for a debugger).
        workers: Worker processes for `dask`; default one per GPU, else one per CPU core within memory (6 GiB each).
        threads: Threads of each worker's model arithmetic; same threads, same bytes.
        arguments: Keyword arguments of a cluster class.
        shard_seconds: Most seconds of media in one shard.
        publish_seconds: Seconds after which finished clips are published at the latest; what a crash can cost.
        clip_seconds: Seconds that one clip may take, whatever its length; one that takes longer fails with `timeout`.
        seconds_per_second: Seconds that each second of a clip's media may take beside those; default thirty times what
            the store's last runs took, 600 where there were none.
        worker_gib: Most memory of one worker in GiB, beyond which its clip fails with `out_of_memory`; default its
            share of nine tenths of its machine's.
    """

    engine: str = "auto"
    workers: int | None = Field(default=None, ge=1)
    threads: int = Field(default=1, ge=1)
    arguments: dict[str, Any] = Field(default_factory=dict)
    shard_seconds: float = Field(default=120.0, gt=0)
    publish_seconds: float = Field(default=30.0, gt=0)
    clip_seconds: float = Field(default=60.0, gt=0)
    seconds_per_second: float | None = Field(default=None, ge=0)
    worker_gib: float | None = Field(default=None, gt=0)


class ExtractorEntry(BaseModel):
    """One entry of `extractors:`; keys beyond these two are the extractor's own options.

    Attributes:
        name: Module of `extractors`, such as `hubert`.
        feature: Name in the store; default is the extractor's name. Give one to run an extractor twice.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str
    feature: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_-]+$")

    @property
    def feature_name(self) -> str:
        """Name of the feature in the store."""
        return self.feature or self.name

    @property
    def options(self) -> dict[str, Any]:
        """The extractor's own options, unchecked."""
        return dict(self.model_extra or {})


class RunConfig(Section):
    """A whole run.

    Attributes:
        extractors: What to extract, in order.
        faces: Options of the extractor `faces`, which is added where another one needs it.
        voice_activity: The same for the extractor `voice_activity`.
        speaking: The same for the extractor `speaking`.
        cluster: Where shards run.
        deinterlace: `auto` makes whole frames of interlaced ones (FFmpeg's bwdif); `off` leaves and flags them.
        no_audio: What a clip without audio means for audio features: `fail` (default) or `skip` by rule.
        no_video: The same for video.
        no_text: The same for text.
    """

    extractors: tuple[ExtractorEntry, ...] = Field(min_length=1)
    faces: Faces = Faces()
    voice_activity: VoiceActivity = VoiceActivity()
    speaking: Speaking = Speaking()
    cluster: Cluster = Cluster()
    deinterlace: Literal["auto", "off"] = "off"
    no_audio: Literal["fail", "skip"] = "fail"
    no_video: Literal["fail", "skip"] = "fail"
    no_text: Literal["fail", "skip"] = "fail"

    def section_of(self, name: str) -> Section | None:
        """The top-level section that is called like an extractor and holds its options, such as `faces:`."""
        name = {"face_tracks": "faces"}.get(name, name)  # one detection serves both
        section = getattr(self, name, None) if name in type(self).model_fields else None
        return section if isinstance(section, Section) else None

    def options_of(self, entry: ExtractorEntry, known: Collection[str]) -> dict[str, Any]:
        """All options of an entry: its own, those of its section, and the crops that all networks on faces share.

        Args:
            entry: The entry.
            known: Names of the options that its extractor has.
        """
        section = self.section_of(entry.name)
        options = {} if section is None else section.model_dump(exclude_unset=True)
        crops = self.faces.crops
        if crops is not None and "crops" in known and entry.options.get("input", "main_face") == "main_face":
            options["crops"] = crops.model_dump()
        return options | entry.options

    @field_validator("deinterlace", mode="before")
    @classmethod
    def _yaml_words(cls, value: object) -> object:
        return {False: "off", True: "auto"}.get(value, value) if isinstance(value, bool) else value  # YAML's `off`

    @model_validator(mode="after")
    def _distinct_features(self) -> Self:
        names = [e.feature_name for e in self.extractors]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(f"feature {twice[0]!r} appears twice; give each its own `feature:` name")
        return self


def named_configs() -> dict[str, Path]:
    """Configurations that merflow ships, by name."""
    shipped = {p.stem: p for p in sorted(Path(__file__).parent.glob("*.yaml"))}
    return shipped | {year: shipped[same] for year, same in SAME_RECIPES.items()}


def load_config(source: str | Path) -> RunConfig:
    """Read a run configuration.

    Args:
        source: Path of a YAML file, or the name of one that merflow ships, such as `merr`.

    Raises:
        ConfigError: If the file is missing, is not YAML, or does not fit the schema.
    """
    path = Path(source)
    if not path.is_file():
        shipped = named_configs()
        if str(source) not in shipped:
            raise ConfigError(f"{source}: no such file, and no such configuration; shipped: {', '.join(shipped)}")
        path = shipped[str(source)]
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a YAML file: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected keys such as `extractors:`, got {type(values).__name__}")
    return parse(RunConfig, _with_absolute_paths(values, path.parent.absolute()), str(path))


def _with_absolute_paths(value: Any, folder: Path) -> Any:
    """The values with paths relative to the configuration's folder made absolute, and `~` expanded."""
    if isinstance(value, list):
        return [_with_absolute_paths(item, folder) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: str(folder / as_path(item))
        if key in PATHS and isinstance(item, str)
        else _with_absolute_paths(item, folder)
        for key, item in value.items()
    }
