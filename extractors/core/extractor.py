"""What an extractor is: the extension point of merflow.

A new extractor is one new module in `extractors/` that defines one subclass of `Extractor`. It is found by its
module's name; the command line, the conformance suite and the documentation pick it up without another edit.
"""

from __future__ import annotations

import importlib
import pkgutil
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from configs.schema import Faces
from configs.plugins import Section, parse
from extractors.core.media.clip_media import Media
from extractors.core.networks.weights import WEIGHT_FILES
from storage.errors import ClipError
from configs.errors import RunError
from storage.records import Failure, Features, FeatureSpec, Modality


class Options(Section):
    """Base of every extractor's own settings. All of them go into the feature's digest."""


OptionsT = TypeVar("OptionsT", bound=Options)


class Extractor(ABC, Generic[OptionsT]):
    """Turns clips into one feature.

    An extractor that looks at faces puts the face stage's settings into its spec's recipe under `faces`.

    Subclasses set `Options` (their settings) and `modality`, and define `spec`, `load` and `extract_clip`. One that
    can use a whole batch at once overrides `extract` instead, and says in `clips_at_once` how many clips it can use.
    One that computes on other features of the same clip names them in `needs` and reads them with `media.given`.

    Args:
        feature: Name of the feature in the store.
        options: The extractor's settings.
        faces: Settings of the face stage; in the digest of extractors that use it.

    Attributes:
        Options: Class of the settings.
        modality: `audio`, `video` or `text`: what of a clip must be decoded.
        weight_files: Names a hub repository's weights file may have, the preferred one first.
        licence: Licence of what it loads, for the documentation.
        loaded: Whether `load` was called.
        inputs: Specs of the features in `needs`, set before `spec` is asked; their digests belong into the recipe.
        seconds: Wall seconds by part, such as `model`; see `timed`.
    """

    Options: ClassVar[type[Options]]
    modality: ClassVar[Modality]
    weight_files: ClassVar[tuple[str, ...]] = WEIGHT_FILES
    licence: ClassVar[str] = ""

    def __init__(self, feature: str, options: OptionsT, faces: Faces) -> None:
        self.feature = feature
        self.options = options
        self.faces = faces
        self.loaded = False
        self.inputs: dict[str, FeatureSpec] = {}
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the features of the same clip that this one is computed from; known from the options alone."""
        return ()

    @property
    def runs_beside(self) -> bool:
        """Whether it needs no torch and lets go of Python's lock: then a helper thread runs it beside the networks."""
        return False

    @property
    def clips_at_once(self) -> int:
        """How many clips one call of `extract` makes good use of, on the device it was loaded for."""
        return 1

    @cached_property
    @abstractmethod
    def spec(self) -> FeatureSpec:
        """What the numbers will be; must not load weights.

        Raises:
            RunError: If the weights it names are not on this machine.
        """

    @abstractmethod
    def load(self, device: str) -> None:
        """Load what is needed to extract.

        Args:
            device: A torch device, such as `cpu` or `cuda:0`.
        """

    def prepare(self, media: Media) -> None:
        """Do for a clip what needs no network, on the thread that decoded it while others compute; may do nothing."""

    def extract(self, batch: Sequence[Media]) -> list[Features | Failure]:
        """Extract from each clip: same order, same length, one outcome each."""
        return [self._outcome(media) for media in batch]

    def extract_clip(self, media: Media) -> Features:
        """Extract from one clip.

        Raises:
            ClipError: Why this clip has no values.
        """
        raise NotImplementedError(f"{type(self).__name__} defines neither extract_clip nor extract")

    def remember(self, media: Media, features: Features) -> None:
        """Put what a stored result tells, such as where the faces are, where other extractors of the clip find it."""

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Add the wall seconds of a block to `seconds`.

        Args:
            part: `prepare` (pixels or sound to a model's input), `transfer` (to the device), `model`, ...
        """
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[part] += time.perf_counter() - begin

    def _outcome(self, media: Media) -> Features | Failure:
        try:
            return self.extract_clip(media)
        except ClipError as error:
            return self.failure(media, error)

    def failure(self, media: Media, error: ClipError) -> Failure:
        """The outcome that stands for an error."""
        return Failure(media.clip.id, self.feature, error.reason, error.message, error.stage)

    @staticmethod
    def checked(values: Any, times: Any, valid: Any) -> Features:
        """Build Features; a row marked valid that holds NaN or infinity is an error of this clip.

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


def extractor_names() -> list[str]:
    """Names of the extractors that exist, without importing them."""
    package = importlib.import_module("extractors")
    return sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.ispkg)


def extractor_class(name: str) -> type[Extractor[Any]]:
    """The extractor that the module `extractors.<name>` defines.

    Raises:
        RunError: If there is none; the message lists those that exist.
    """
    if name not in extractor_names():
        raise RunError(f"unknown extractor {name!r}; extractors: {', '.join(extractor_names())}")
    module = importlib.import_module(f"extractors.{name}")
    found = [
        c
        for c in vars(module).values()
        if isinstance(c, type) and issubclass(c, Extractor) and c.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise RunError(f"extractors/{name}.py: expected one subclass of Extractor, found {len(found)}")
    return found[0]


def build_extractor(name: str, feature: str, options: Mapping[str, Any], faces: Faces) -> Extractor[Any]:
    """Build an extractor from plain configuration values.

    Raises:
        RunError: Unknown extractor.
        ConfigError: Options that do not fit; the message names the valid ones.
    """
    chosen = extractor_class(name)
    return chosen(feature, parse(chosen.Options, dict(options), f"extractor {name}"), faces)


def connect(extractors: Sequence[Extractor[Any]]) -> list[Extractor[Any]]:
    """Order extractors so that each comes after those it needs, else as given, and tell each the specs of its inputs.

    Raises:
        RunError: If one needs a feature that is not among them, or needs itself in the end.
    """
    known = {e.feature: e for e in extractors}
    ordered: list[Extractor[Any]] = []

    def place(extractor: Extractor[Any], above: tuple[str, ...]) -> None:
        if extractor in ordered:
            return
        if extractor.feature in above:
            raise RunError(f"features need each other: {' > '.join((*above, extractor.feature))}")
        for name in extractor.needs:
            if name not in known:
                raise RunError(f"feature {extractor.feature} needs feature {name!r}, which is not extracted; add it")
            place(known[name], (*above, extractor.feature))
            extractor.inputs[name] = known[name].spec
        ordered.append(extractor)

    for extractor in extractors:
        place(extractor, ())
    return ordered
