"""openSMILE's standard feature sets: emobase, the sets of the Interspeech challenges, ComParE and the GeMAPS family.

Eyben et al., "openSMILE: The Munich Versatile and Fast Open-Source Audio Feature Extractor", ACM MM 2010. Computed by
openSMILE itself (package `opensmile`; licence: non-commercial research), value for value and time for time what
`opensmile.Smile.process_signal` gives. `gemaps` is the GeMAPS family with units and the centres of its windows.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np

from configs.errors import RunError
from configs.plugins import Section
from extractors.core.extractor import Extractor
from extractors.core.media.clip_media import Media
from extractors.core.media.opensmile_pass import make_smile, one_pass
from storage.errors import ClipError
from storage.records import Features, FeatureSpec

_LEVELS = {"lld": "LowLevelDescriptors", "deltas": "LowLevelDescriptors_Deltas", "functionals": "Functionals"}
_HOP = 0.010


class OpensmileOptions(Section):
    """Settings of openSMILE.

    Attributes:
        feature_set: `IS09` to `IS13` are the sets of the Interspeech challenges of these years (384, 1,582, 4,368,
            6,125, 6,373 functionals), `emobase` 988, `ComParE_2016` 6,373, `eGeMAPSv02` 88.
        level: `lld` gives low-level descriptors every 10 ms, `deltas` their first differences, of which there are two
            rows more (GeMAPS has none), `functionals` one row per clip.
    """

    feature_set: Literal[
        "ComParE_2016", "GeMAPSv01a", "GeMAPSv01b", "IS09", "IS10", "IS11", "IS12", "IS13",
        "eGeMAPSv01a", "eGeMAPSv01b", "eGeMAPSv02", "emobase",
    ] = "ComParE_2016"  # fmt: skip
    level: Literal["lld", "deltas", "functionals"] = "functionals"


class Opensmile(Extractor[OpensmileOptions]):
    """One of openSMILE's sets on 16 kHz mono audio; columns and times are openSMILE's own."""

    name = "opensmile"
    Options = OpensmileOptions
    libraries: ClassVar[tuple[str, ...]] = ("numpy", "opensmile")
    modality: ClassVar[Literal["audio"]] = "audio"
    licence = "openSMILE: audEERING research licence, non-commercial"

    def describe(self) -> FeatureSpec:
        """Columns are openSMILE's own feature names.

        Raises:
            RunError: If the set has no such level.
        """
        import opensmile

        frames = self.options.level != "functionals"
        return FeatureSpec(
            name=self.feature,
            extractor=self.name,
            modality="audio",
            level="frame" if frames else "utterance",
            columns=tuple(self._smile.feature_names),
            hop=_HOP if frames else None,
            recipe=self.options.model_dump(mode="json") | {"rate_hz": 16_000},
            source=f"openSMILE (opensmile {opensmile.__version__})",
        )

    @property
    def releases_gil(self) -> bool:
        """True: openSMILE is C code that releases the GIL."""
        return True

    @cached_property
    def _smile(self) -> Any:
        options = self.options
        try:
            return make_smile(options.feature_set, _LEVELS[options.level])
        except ValueError as error:
            raise RunError(
                f"{self.feature}: openSMILE's {options.feature_set} has no level {options.level}; "
                f"lld and functionals are there"
            ) from error

    def load(self, device: str) -> None:
        """Compile openSMILE's configuration; it runs on the CPU whatever the device."""
        _ = self._smile

    def extract_clip(self, media: Media) -> Features:
        """Give exactly what `opensmile.Smile.process_signal` gives for the clip's audio, values and times.

        Raises:
            ClipError: `too_short` where openSMILE computes no row.
        """
        audio = media.audio()
        if not audio.samples.size:
            raise ClipError("too_short", "the clip's audio has no samples")
        values, times = one_pass(self._smile, audio.samples, audio.rate)
        if not len(values):
            found = f"{audio.samples.size} samples of audio at {audio.rate} Hz"
            raise ClipError("too_short", f"{found} are too few for openSMILE's {self.options.feature_set}")
        return self.checked(values, times + audio.start, np.ones(len(values), np.bool_))
