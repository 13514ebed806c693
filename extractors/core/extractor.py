"""What an extractor is: the extension point of merflow.

A new extractor is one new module or folder in `extractors/` that defines one subclass of `Extractor`. It is found by
its name; the command line, the conformance suite and the documentation pick it up without another edit.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from configs.errors import RunError
from configs.plugins import Registry, Section, parse
from configs.weights import WEIGHT_FILES, Weights
from extractors.core.engines import engine_versions
from extractors.core.media.clip_media import Media
from storage.errors import ClipError
from storage.identity import Modality, Source
from storage.records import Failure, Features, FeatureSpec

OptionsT = TypeVar("OptionsT", bound=Section)


class Extractor(ABC, Generic[OptionsT]):
    """Turns clips into one feature.

    Subclasses state `name`, `Options` and `modality`, and define `describe`, `load` and `extract_clip`. One that can
    use a whole batch at once overrides `extract` instead, and says in `clips_at_once` how many clips it can use. One
    that computes on other features of the same clip names them in `needs` and reads them with `media.feature`.

    Args:
        feature: Name of the feature in the store.
        options: The extractor's options; all of them go into the feature's digest.

    Attributes:
        name: Name of the extractor, as its file or folder is called.
        Options: Class of the options.
        modality: `audio`, `video` or `text`: what of a clip must be decoded.
        reads: What of a clip its numbers are made from, where that is more than the modality.
        engines: Packages, beside the decoder, whose every version is assumed to give other numbers; in the digest.
        libraries: Packages whose versions are assumed to give the same numbers; recorded, and compared on resume.
        weight_files: Names a hub repository's weights file may have, the preferred one first.
        licence: Licence of what it loads, for the documentation.
        loaded: Whether `load` was called.
        deinterlace: Whether interlaced frames are made whole before it sees them.
        inputs: Specs of the features in `needs`, set before `spec` is read.
        seconds: Wall seconds by part, such as `model`; see `timed`.
    """

    name: ClassVar[str]
    Options: ClassVar[type[Section]]
    modality: ClassVar[Modality]
    reads: ClassVar[tuple[Modality, ...]] = ()
    weight_files: ClassVar[tuple[str, ...]] = WEIGHT_FILES
    licence: ClassVar[str] = ""
    engines: ClassVar[tuple[str, ...]] = ()
    libraries: ClassVar[tuple[str, ...]] = ("numpy",)

    def __init__(self, feature: str, options: OptionsT) -> None:
        self.feature = feature
        self.options = options
        self.loaded = False
        self.deinterlace = False
        self.inputs: dict[str, FeatureSpec] = {}
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the features of the same clip that this one is computed from; known from the options alone."""
        return ()

    @property
    def releases_gil(self) -> bool:
        """Whether it needs no torch and releases the GIL: then a helper thread runs it beside the networks."""
        return False

    @property
    def decodes(self) -> frozenset[Modality]:
        """What of a clip must be decoded for it: its modality, and what else it reads."""
        return frozenset({self.modality, *self.reads})

    @property
    def clips_at_once(self) -> int:
        """How many clips one call of `extract` makes good use of, on the device it was loaded for."""
        return 1

    @property
    def languages(self) -> frozenset[str]:
        """Two-letter codes of the languages that it understands; empty where nobody says, or where it does not matter.

        Raises:
            RunError: If the weights it names are not on this machine.
        """
        return frozenset()

    @property
    def weights(self) -> Weights | None:
        """Where its weights come from; None if it loads none."""
        weights = getattr(self.options, "weights", None)
        return weights if isinstance(weights, Weights) else None

    @cached_property
    def spec(self) -> FeatureSpec:
        """What the numbers will be: what `describe` says, the features it is computed from, and the engines.

        Raises:
            RunError: If the weights it names are not on this machine.
        """
        needed, described = [self.inputs[name] for name in self.needs], self.describe()
        return replace(
            described,
            inputs={spec.name: spec.digest for spec in needed},
            engines=self._engines(),
            reads=self._all_reads(),
            synthetic=described.synthetic or any(spec.synthetic for spec in needed),
        )

    @property
    def sources(self) -> frozenset[Source]:
        """What of a clip its own numbers are made from."""
        return self.decodes

    def _all_reads(self) -> tuple[Source, ...]:
        """What it reads and what the features that it is computed from read; empty where that is its modality alone."""
        found = set(self.sources)
        for name in self.needs:
            found |= set(self.inputs[name].reads or (self.inputs[name].modality,))
        return () if found == {self.modality} else tuple(sorted(found))

    def _engines(self) -> dict[str, str]:
        found = engine_versions(self.modality, self.engines)
        return found | ({"deinterlace": "bwdif"} if self.deinterlace and self.modality == "video" else {})

    @abstractmethod
    def describe(self) -> FeatureSpec:
        """What the numbers will be, without `inputs` and `engines`; must not load weights.

        Raises:
            RunError: If the weights it names are not on this machine.
        """

    @abstractmethod
    def load(self, device: str) -> None:
        """Load what is needed to extract.

        Args:
            device: A torch device, such as `cpu` or `cuda:0`.
        """

    def close(self) -> None:
        """Free what was loaded; the extractor cannot be used afterwards."""

    def prepare(self, media: Media) -> None:
        """Do for a clip what needs no network, on the thread that decoded it while others compute; may do nothing."""

    def extract(self, batch: Sequence[Media]) -> list[Features | Failure]:
        """Extract from each clip: same order, same length, one outcome each."""
        return [self._outcome(media) for media in batch]

    def outcomes(self, batch: Sequence[Media]) -> list[Features | Failure]:
        """Extract from each clip, and mark as not valid the rows whose centre lies in a hole of the clip's audio."""
        found = self.extract(batch)
        if self.modality != "audio" or self.spec.level != "frame":
            return found
        return [_without_holes(outcome, media) for outcome, media in zip(found, batch, strict=True)]

    def extract_clip(self, media: Media) -> Features:
        """Extract from one clip.

        Raises:
            ClipError: Why this clip has no values.
        """
        raise NotImplementedError(f"{type(self).__name__} defines neither extract_clip nor extract")

    def timed(self, part: str) -> AbstractContextManager[None]:
        """Add the wall seconds of a block to `seconds`.

        Args:
            part: `prepare` (pixels or audio to a model's input), `transfer` (to the device), `model`, ...
        """
        return timed(self.seconds, part)

    def _outcome(self, media: Media) -> Features | Failure:
        try:
            return self.extract_clip(media)
        except ClipError as error:
            return self.failure(media, error)

    def failure(self, media: Media, error: ClipError) -> Failure:
        """The outcome that stands for an error.

        Args:
            media: The clip's media.
            error: Why the clip has no values.
        """
        return Failure(media.clip.id, self.feature, error.reason, error.message, error.stage)

    @staticmethod
    def checked(values: Any, times: Any, valid: Any) -> Features:
        """Build Features; a row marked valid that holds NaN or infinity is an error of this clip.

        Args:
            values: (T, D) numbers.
            times: (T, 2) seconds from the clip's start.
            valid: (T,) true or false.

        Raises:
            ClipError: `not_finite`.
        """
        values = np.ascontiguousarray(values, dtype=np.float32)
        valid = np.asarray(valid, dtype=np.bool_)
        bad = valid & ~np.isfinite(values).all(axis=1)
        if bad.any():
            message = f"{int(bad.sum())} of {len(valid)} rows hold NaN or infinity, first row {int(bad.argmax())}"
            raise ClipError("not_finite", message, stage="check")
        return Features(values, np.ascontiguousarray(times, dtype=np.float64), valid)


def _without_holes(outcome: Features | Failure, media: Media) -> Features | Failure:
    if isinstance(outcome, Failure) or not media.flags("audio").get("holes"):
        return outcome
    centres = outcome.times.mean(axis=1)
    in_hole = np.zeros(len(centres), np.bool_)
    for begin, end in media.audio().holes:
        in_hole |= (begin <= centres) & (centres < end)
    values = np.where(in_hole[:, None], np.float32(np.nan), outcome.values)
    return Features(values, outcome.times, outcome.valid & ~in_hole)


@contextmanager
def timed(seconds: defaultdict[str, float], part: str) -> Iterator[None]:
    """Add the wall seconds of a block to a count.

    Args:
        seconds: Seconds by part.
        part: Which of them.
    """
    begin = time.perf_counter()
    try:
        yield
    finally:
        seconds[part] += time.perf_counter() - begin


EXTRACTORS: Registry[Extractor[Any]] = Registry("extractors", "extractor", "extractors", "Extractor")


def build_extractor(name: str, feature: str, options: Mapping[str, Any]) -> Extractor[Any]:
    """Build an extractor from plain configuration values.

    Args:
        name: Name of the extractor.
        feature: Name of the feature in the store.
        options: The extractor's own options.

    Raises:
        RunError: Unknown extractor.
        ConfigError: Options that do not fit; the message names the valid ones.
    """
    extractor = EXTRACTORS.load(name)
    return extractor(feature, parse(extractor.Options, dict(options), f"extractor {name}"))


def resolve_dependencies(extractors: Sequence[Extractor[Any]]) -> list[Extractor[Any]]:
    """Order extractors so that each comes after those it needs, else as given, and set the specs of its inputs.

    Raises:
        RunError: If one needs a feature that is not among them, or needs itself in the end.
    """
    by_feature = {e.feature: e for e in extractors}
    ordered: list[Extractor[Any]] = []

    def add(extractor: Extractor[Any], above: tuple[str, ...]) -> None:
        if extractor in ordered:
            return
        if extractor.feature in above:
            raise RunError(f"features need each other: {' > '.join((*above, extractor.feature))}")
        for name in extractor.needs:
            if name not in by_feature:
                raise RunError(f"feature {extractor.feature} needs feature {name!r}, which is not extracted; add it")
            add(by_feature[name], (*above, extractor.feature))
            extractor.inputs[name] = by_feature[name].spec
        ordered.append(extractor)

    for extractor in extractors:
        add(extractor, ())
    return ordered
