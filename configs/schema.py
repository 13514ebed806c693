"""The run configuration: what to extract, with which weights, on which machines.

A configuration file holds only what differs from the defaults below. An unknown key is an error that names
the valid ones. Settings of one extractor (`recipe`, `feature_set`, ...) are checked by that extractor.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator


class ConfigError(ValueError):
    """A configuration that cannot be used; the message is one readable line."""


class Section(BaseModel):
    """Base of every part of a configuration: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RandomWeights(Section):
    """The true architecture with weights from a seed: for trying things out, never for results."""

    seed: int = 0
    size: Literal["tiny", "full"] = "full"


class Weights(Section):
    """Where an extractor's weights come from: exactly one of `hub`, `local` and `random`.

    Attributes:
        hub: Hugging Face repository, such as `facebook/hubert-large-ll60k`.
        revision: Commit, tag or branch of `hub`; what it resolved to is recorded in the store.
        local: Folder in Hugging Face's layout, or a single weights file.
        random: Seeded weights instead of trained ones.
        sha256: What the weights file must hash to; anything else stops the run.
        format: Layout of a `local` file: `hf`, or the plain checkpoints of MAE and VideoMAE's own training code.
    """

    hub: str | None = None
    revision: str = "main"
    local: Path | None = None
    random: RandomWeights | None = None
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    format: Literal["hf", "mae-pth", "videomae-pth"] = "hf"

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if self.format != "hf" and self.local is None:
            raise ValueError(f"format {self.format} is for `local` files")
        given = [k for k in ("hub", "local", "random") if getattr(self, k) is not None]
        if len(given) != 1:
            raise ValueError(f"expected exactly one of hub, local, random; got {', '.join(given) or 'none'}")
        return self


class Faces(Section):
    """The face stage, shared by every extractor that looks at faces.

    `{detector: retinaface, detect_every: 1, short_side: null, min_confidence: 0.5}` is what py-feat's Detectorv2 does.

    Attributes:
        detector: Module of `extractors.core.detectors`: `libfacedetection`, `retinaface`, `center`, ...
        detect_every: Detect on every k-th frame and interpolate boxes between; 1 detects on every frame.
        short_side: Detect on a copy whose short side is at most this many pixels; None detects on the frame itself.
        min_confidence: Detections below this confidence, 0..1, are ignored.
        weights: Weights of a detector that loads some, where not its usual ones.
    """

    detector: str = "libfacedetection"
    detect_every: int = Field(default=5, ge=1)
    short_side: int | None = Field(default=360, ge=32)
    min_confidence: float = Field(default=0.6, ge=0, le=1)
    weights: Weights | None = None


class Cluster(Section):
    """Where shards run.

    Attributes:
        engine: `auto` (in process for few clips, else local Dask), `local` (in this process), `dask` (local Dask
            worker processes), a scheduler address such as `tcp://host:8786`, or the dotted name of a Dask
            cluster class, such as `dask_jobqueue.SLURMCluster`.
        workers: Worker processes for `dask`; default one per GPU, else one per CPU core within memory (6 GiB each).
        threads: Threads of each worker's model arithmetic; same threads, same bytes.
        arguments: Keyword arguments of a cluster class.
        shard_seconds: Most seconds of media in one shard.
    """

    engine: str = "auto"
    workers: int | None = Field(default=None, ge=1)
    threads: int = Field(default=1, ge=1)
    arguments: dict[str, Any] = Field(default_factory=dict)
    shard_seconds: float = Field(default=120.0, gt=0)


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
        faces: The face stage.
        cluster: Where shards run.
        no_audio: What a clip without audio means for audio features: `fail` (default) or `skip` by rule.
        no_video: The same for video.
        no_text: The same for text.
    """

    extractors: tuple[ExtractorEntry, ...] = Field(min_length=1)
    faces: Faces = Faces()
    cluster: Cluster = Cluster()
    no_audio: Literal["fail", "skip"] = "fail"
    no_video: Literal["fail", "skip"] = "fail"
    no_text: Literal["fail", "skip"] = "fail"

    @model_validator(mode="after")
    def _distinct_features(self) -> Self:
        names = [e.feature_name for e in self.extractors]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(f"feature {twice[0]!r} appears twice; give each its own `feature:` name")
        return self


SectionT = TypeVar("SectionT", bound=BaseModel)


def parse(model: type[SectionT], values: object, where: str) -> SectionT:
    """Check plain values against a section.

    Args:
        model: The section.
        values: Plain YAML values.
        where: Named in errors, such as a file and key.

    Raises:
        ConfigError: One line: where, which key, what was expected, what was given.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{where}: {_explain(model, error)}") from error


def _explain(model: type[BaseModel], error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        valid = _valid_keys(model, first["loc"][:-1])
        close = difflib.get_close_matches(str(first["loc"][-1]), valid, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        return f"unknown key {key!r}; valid keys here: {', '.join(valid)}.{hint}"
    message = str(first["msg"]).removeprefix("Value error, ")
    got = "" if first["type"] in {"missing", "value_error"} else f", got {first['input']!r}"
    return f"{key + ': ' if key else ''}{message}{got}"


def _valid_keys(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    for part in path:
        field = model.model_fields.get(str(part))
        candidates = [field.annotation, *getattr(field.annotation, "__args__", ())] if field else []
        inner = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if inner:
            model = inner[0]
    return sorted(model.model_fields)


def named_configs() -> dict[str, Path]:
    """Configurations that merflow ships, by name."""
    return {p.stem: p for p in sorted(Path(__file__).parent.glob("*.yaml"))}


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
    return parse(RunConfig, values, str(path))
