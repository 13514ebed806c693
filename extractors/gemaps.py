"""GeMAPS and its relatives: openSMILE's acoustic parameters, bit for bit.

Eyben et al., "The Geneva Minimalistic Acoustic Parameter Set (GeMAPS) for Voice Research and Affective
Computing", IEEE Transactions on Affective Computing 7(2), 2016. Computed by openSMILE itself (`opensmile`
package; licence: non-commercial research).
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np

from configs.plugins import Section
from extractors.core.extractor import Extractor
from extractors.core.media.clip_media import Media
from extractors.core.media.opensmile_pass import make_smile, one_pass
from storage.errors import ClipError
from storage.records import Features, FeatureSpec

HOP = 0.010
WINDOW = 0.020  # of the spectral columns; pitch, jitter and shimmer look at SHORTEST from the same start
SHORTEST = 0.060
# Low-level descriptors of the GeMAPS family by the beginning of their names (Eyben et al. 2016, section 3).
_UNITS = {
    "Loudness": "sone (estimate)",
    "alphaRatio": "dB",
    "hammarbergIndex": "dB",
    "slope": "dB/Hz",
    "spectralFlux": "",
    "mfcc": "",
    "F0semitone": "semitones over 27.5 Hz",
    "jitter": "share of the period",
    "shimmer": "dB",
    "HNR": "dB",
    "logRelF0": "dB",
    "F1frequency": "Hz",
    "F2frequency": "Hz",
    "F3frequency": "Hz",
    "F1bandwidth": "Hz",
    "F2bandwidth": "Hz",
    "F3bandwidth": "Hz",
    "F1amplitude": "dB",
    "F2amplitude": "dB",
    "F3amplitude": "dB",
}
_LONG_WINDOW = ("F0semitone", "jitter", "shimmer", "HNR")
FeatureSetName = Literal["GeMAPSv01a", "GeMAPSv01b", "eGeMAPSv01a", "eGeMAPSv01b", "eGeMAPSv02", "ComParE_2016"]


class GemapsOptions(Section):
    """Settings of openSMILE.

    Attributes:
        feature_set: `GeMAPSv01b` is IndoMER's 18 columns (62 functionals); `GeMAPSv01a` has the same names and other
            numbers. `eGeMAPSv01a` and `eGeMAPSv01b` have 23 (88), `eGeMAPSv02` 25 (88), `ComParE_2016` 65 (6,373).
        level: `lld` gives a row every 10 ms, `functionals` one row per clip.
    """

    feature_set: FeatureSetName = "GeMAPSv01b"
    level: Literal["lld", "functionals"] = "lld"


class Gemaps(Extractor[GemapsOptions]):
    """openSMILE low-level descriptors or functionals on 16 kHz mono audio."""

    name = "gemaps"
    Options = GemapsOptions
    libraries: ClassVar[tuple[str, ...]] = ("numpy", "opensmile")
    modality: ClassVar[Literal["audio"]] = "audio"
    licence = "openSMILE: audEERING research licence, non-commercial"

    def describe(self) -> FeatureSpec:
        """Columns are openSMILE's own feature names."""
        import opensmile

        frame_level = self.options.level == "lld"
        return FeatureSpec(
            name=self.feature,
            extractor=self.name,
            modality="audio",
            level="frame" if frame_level else "utterance",
            columns=tuple(self._smile.feature_names),
            units=self._units,
            hop=HOP if frame_level else None,
            window=WINDOW if frame_level else None,
            recipe={"feature_set": self.options.feature_set, "level": self.options.level, "rate_hz": 16_000},
            centre_offsets=self._centre_offsets if frame_level else (),
            source=f"openSMILE (opensmile {opensmile.__version__})",
        )

    @property
    def _centre_offsets(self) -> tuple[float, ...]:
        """OpenSMILE stamps all columns with 20 ms, also those of which a row sees 60 ms from the same start."""
        if self.options.feature_set == "ComParE_2016":
            return ()  # its configuration stamps and smooths in other ways
        late = (SHORTEST - WINDOW) / 2
        return tuple(late if name.startswith(_LONG_WINDOW) else 0.0 for name in self._smile.feature_names)

    @property
    def releases_gil(self) -> bool:
        """True: openSMILE is C code that releases the GIL."""
        return True

    @property
    def _units(self) -> tuple[str, ...]:
        """Functionals are means, slopes and counts of many kinds, and ComParE documents no units: none are claimed."""
        if self.options.level == "functionals" or self.options.feature_set == "ComParE_2016":
            return ("",)
        return tuple(next(u for start, u in _UNITS.items() if n.startswith(start)) for n in self._smile.feature_names)

    @cached_property
    def _smile(self) -> Any:
        level = "LowLevelDescriptors" if self.options.level == "lld" else "Functionals"
        return make_smile(self.options.feature_set, level)

    def load(self, device: str) -> None:
        """Compile openSMILE's configuration; it runs on the CPU whatever the device."""
        _ = self._smile

    def extract_clip(self, media: Media) -> Features:
        """Give exactly what `opensmile.Smile.process_signal` gives for the clip's audio, values and times.

        openSMILE stamps row i with [i * 10 ms, i * 10 ms + 20 ms) and ends the last row at the end of the audio.

        Raises:
            ClipError: `too_short` under 60 ms, where openSMILE would give one row of NaN.
        """
        audio = media.audio()
        least = round(SHORTEST * audio.rate)
        if audio.samples.size < least:
            found = f"{audio.samples.size} samples of audio at {audio.rate} Hz"
            raise ClipError("too_short", f"{found}, openSMILE needs {least} ({SHORTEST * 1000:.0f} ms)")
        values, times = one_pass(self._smile, audio.samples, audio.rate)
        return self.checked(values, times + audio.start, np.ones(len(values), np.bool_))
