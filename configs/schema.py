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
from configs.paths import local_path
from configs.plugins import Section, parse

WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
"""Names of a weights file in Hugging Face's layout; the first that exists is used, as transformers does."""


SAME_RECIPES = dict.fromkeys(("mer2024", "mer2025", "mer2026"), "merbench")
"""Challenges whose feature scripts are another one's: those for audio and text are the same byte for byte."""
PATHS = ("local", "csv_folder", "root")
"""Keys of a configuration file that hold paths, relative to it."""


class RandomWeights(Section):
    """The true architecture with weights from a seed: for trying things out, never for results.

    Attributes:
        seed: What the weights are drawn from.
        size: `full`, as published; `tiny`, of a few layers; `wide`, as `tiny` and 1024 wide, which Emotion-LLaMA takes.
    """

    seed: int = 0
    size: Literal["tiny", "wide", "full"] = "full"


class Weights(Section):
    """Where an extractor's weights come from: exactly one of `hub`, `local`, `url` and `random`.

    Attributes:
        hub: Hugging Face repository, such as `facebook/hubert-large-ll60k`.
        revision: Commit, tag or branch of `hub`; what it resolved to is recorded in the store.
        local: Folder in Hugging Face's layout, or a single weights file.
        url: Address of a single checkpoint file outside of a hub, `https://...`; needs `sha256` and `format`.
        random: Seeded weights instead of trained ones.
        sha256: What the weights file must hash to; anything else stops the run.
        format: Layout of a `local` or `url` file: `hf`, or the plain checkpoints of MAE's and VideoMAE's own code.
    """

    hub: str | None = None
    revision: str = "main"
    local: Path | None = None
    url: str | None = Field(default=None, pattern=r"^https?://")
    random: RandomWeights | None = None
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    format: Literal["hf", "mae-pth", "videomae-pth"] = "hf"

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if self.format != "hf" and self.local is None and self.url is None:
            raise ValueError(f"format {self.format} is for `local` and `url` files")
        if self.url is not None and (self.sha256 is None or self.format == "hf"):
            raise ValueError("url needs sha256, which says what must come, and a format other than hf")
        sources = [k for k in ("hub", "local", "url", "random") if getattr(self, k) is not None]
        if len(sources) != 1:
            raise ValueError(f"expected exactly one of hub, local, url, random; got {', '.join(sources) or 'none'}")
        return self


class FaceCrops(Section):
    """Face crops that a corpus releases: MERTools' `openface_face/<clip>/<clip>.npy`, or a folder of images per clip.

    Attributes:
        root: Folder with one entry for each clip.
        frame_rate: Crops per second, of clips whose video is not there; else they have the times of its frames.
    """

    root: Path
    frame_rate: float | None = Field(default=None, gt=0, allow_inf_nan=False)


class MainFace(Section):
    """Which of several faces is the main one.

    Attributes:
        rule: `longest`: the track that most frames show. `speaking`: the one that speaks, by the feature `speaking`.
            `listener`: the longest of those that do not. Experimental: see docs/speaking.md.
        margin: How much better than the next one's the speaker's score must be; under it, or without audio or speech,
            the rule is `longest`.
    """

    rule: Literal["longest", "speaking", "listener"] = "longest"
    margin: float = Field(default=0.1, ge=0)


class Speaking(Section):
    """Options of the extractor `speaking`, which is added where an extractor needs it.

    Attributes:
        method: `synchrony`: how well mouth and voice move together; needs a detector with landmarks.
        piece: Seconds over which each score is taken; the last piece takes in what is left.
        shortest: Seconds of a piece in which a face must be shown, and below which it has no score.
    """

    method: Literal["synchrony"] = "synchrony"
    piece: float = Field(default=3.0, ge=1.5)
    shortest: float = Field(default=1.5, gt=0)


class Faces(Section):
    """Options of the extractor `faces`, which is added where an extractor needs it.

    `{detector: retinaface, detect_every: 1, short_side: null, min_confidence: 0.5}` is what py-feat's Detectorv2 does.

    Attributes:
        detector: Module of `extractors.core.faces.detectors`: `libfacedetection`, `retinaface`, `center`, ...
        detect_every: Detect on every k-th frame and interpolate boxes between; 1 detects on every frame.
        short_side: Detect on a copy whose short side is at most this many pixels; None detects on the frame itself.
        min_confidence: Detections below this confidence, 0..1, are ignored.
        weights: Weights of a detector that loads some, where not its usual ones.
        main_face: Which of several faces is the main one.
        source: Where faces come from: `detector` finds them, `mertools` takes the crops that a corpus releases.
        root: With `source: mertools`: the folder of the crops, such as `openface_face`.
        frame_rate: With `source: mertools`: crops per second, of clips whose video is not there.
    """

    detector: str = "libfacedetection"
    detect_every: int = Field(default=5, ge=1)
    short_side: int | None = Field(default=360, ge=32)
    min_confidence: float = Field(default=0.6, ge=0, le=1)
    weights: Weights | None = None
    main_face: MainFace = MainFace()
    source: Literal["detector", "mertools"] = "detector"
    root: Path | None = None
    frame_rate: float | None = Field(default=None, gt=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _source_is_whole(self) -> Self:
        if (self.source == "mertools") != (self.root is not None):
            raise ValueError("source: mertools and root: FOLDER belong together")
        return self

    @property
    def crops(self) -> FaceCrops | None:
        """The released crops; None if a detector finds the faces."""
        return None if self.root is None else FaceCrops(root=self.root, frame_rate=self.frame_rate)


class VoiceActivity(Section):
    """Options of the extractor `voice_activity`, which is added where an extractor needs it.

    The defaults are silero-vad's own.

    Attributes:
        rows: `windows` gives a row every 32 ms, `segments` one row for each segment of speech: a clock, for exports
            that want one value for each stretch of speech. A clip without speech then has no rows.
        threshold: Probability from which on speech begins; it ends 0.15 below.
        min_speech: Shortest segment, in seconds.
        min_silence: Shortest pause that ends a segment, in seconds.
        padding: Seconds that are added to a segment at both ends.
    """

    rows: Literal["windows", "segments"] = "windows"
    threshold: float = Field(default=0.5, gt=0, lt=1)
    min_speech: float = Field(default=0.25, ge=0)
    min_silence: float = Field(default=0.1, ge=0)
    padding: float = Field(default=0.03, ge=0)


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
        key: str(folder / local_path(item))
        if key in PATHS and isinstance(item, str)
        else _with_absolute_paths(item, folder)
        for key, item in value.items()
    }
