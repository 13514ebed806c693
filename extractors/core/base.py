"""What an extractor is: the extension point of merflow.

A new extractor is one new module in `extractors/` that defines one subclass of `Extractor`. It is found by its
module's name; the command line, the conformance suite and the documentation pick it up without another edit.
"""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from configs.schema import Faces, Section, parse
from extractors.core.media import Media
from extractors.core.weights import WEIGHT_FILES
from storage.errors import ClipError, RunError
from storage.records import Failure, Features, FeatureSpec, Modality


class Options(Section):
    """Base of every extractor's own settings. All of them go into the feature's digest."""


OptionsT = TypeVar("OptionsT", bound=Options)


class Extractor(ABC, Generic[OptionsT]):
    """Turns clips into one feature.

    An extractor that looks at faces puts the face stage's settings into its spec's recipe under `faces`.

    Subclasses set `Options` (their settings) and `modality`, and define `spec`, `load` and `extract_clip`. One that
    can use a whole batch at once overrides `extract` instead.

    Args:
        feature: Name of the feature in the store.
        options: The extractor's settings.
        faces: Settings of the face stage; in the digest of extractors that use it.

    Attributes:
        Options: Class of the settings.
        modality: `audio`, `video` or `text`: what of a clip must be decoded.
        runs_beside: True if it needs no torch and lets go of Python's lock while it computes, so that a helper thread
            can run it beside the networks.
        weight_files: Names a hub repository's weights file may have, the preferred one first.
        licence: Licence of what it loads, for the documentation.
        loaded: Whether `load` was called.
    """

    Options: ClassVar[type[Options]]
    modality: ClassVar[Modality]
    runs_beside: ClassVar[bool] = False
    weight_files: ClassVar[tuple[str, ...]] = WEIGHT_FILES
    licence: ClassVar[str] = ""

    def __init__(self, feature: str, options: OptionsT, faces: Faces) -> None:
        self.feature = feature
        self.options = options
        self.faces = faces
        self.loaded = False

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

    def extract(self, batch: Sequence[Media]) -> list[Features | Failure]:
        """Extract from each clip: same order, same length, one outcome each."""
        return [self._outcome(media) for media in batch]

    def extract_clip(self, media: Media) -> Features:
        """Extract from one clip.

        Raises:
            ClipError: Why this clip has no values.
        """
        raise NotImplementedError(f"{type(self).__name__} defines neither extract_clip nor extract")

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
