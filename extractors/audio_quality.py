"""Quality flags of a clip's audio: how loud, clean and full of speech it is.

One row per clip, always valid and finite. The flags describe; no clip is dropped for them.
"""

from __future__ import annotations

from fractions import Fraction
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from configs.plugins import Section
from extractors.core.extractor import Extractor
from extractors.core.media.audio import Audio
from extractors.core.media.clip_media import Media
from storage.errors import ClipError
from storage.records import Features, FeatureSpec
from storage.vocabulary.speech import VOICE_ACTIVITY, is_speech_at, speech_intervals

FRAME_SECONDS = 0.02
SILENT = -60.0  # dB of full scale below which a frame counts as silent
FLOOR = -96.0  # dB of full scale: half of the smallest step of 16 bits; the level of digital silence
CLIPPED = 0.98  # of full scale, from which on a sample counts as clipped
QUIETEST = 0.1  # share of the frames that count as noise
SHORTEST_LOUDNESS = 0.4  # seconds that EBU R128 measures at once
QUIET = -70.0  # LUFS below which EBU R128 leaves audio out
_COLUMNS = {
    "silence_share": "0..1",
    "clipped_share": "0..1",
    "peak": "dBFS",
    "level": "dBFS",
    "loudness": "LUFS",
    "snr": "dB",
    "speech_share": "0..1",
    "speech_segments": "",
    "longest_pause": "s",
    "duration": "s",
}


class AudioQualityOptions(Section):
    """None of its own: speech is that of the feature `voice_activity`."""


class AudioQuality(Extractor[AudioQualityOptions]):
    """Ten numbers per clip, of its audio as 16 kHz mono.

    - `silence_share`: share of the frames of 20 ms whose mean power is under -60 dB of full scale.
    - `clipped_share`: share of the samples at 98 % of full scale and more. A recording that was cut off at full scale
      keeps flat tops through resampling and down-mix; a clean one that is merely loud touches it with few samples.
    - `peak`: highest sample; `level`: mean power. Both in dB of full scale; -96 for digital silence.
    - `loudness`: integrated loudness by EBU R128, measured by FFmpeg's own filter; -70, where the standard's gate lies,
      for what is quieter or shorter than 0.4 s.
    - `snr`: mean power of the frames with speech over the mean power of the quietest tenth of all frames. An estimate:
      too low where nobody ever pauses, too high where pauses were muted. 0 without speech.
    - `speech_share`: share of the clip's audio in segments of speech; `speech_segments`: how many there are;
      `longest_pause`: longest stretch without speech, at the ends too.
    - `duration`: of the audio.
    """

    name = "audio_quality"
    Options = AudioQualityOptions
    libraries: ClassVar[tuple[str, ...]] = ("numpy", "av")
    modality: ClassVar[Literal["audio"]] = "audio"

    @property
    def needs(self) -> tuple[str, ...]:
        """The voice activity."""
        return (VOICE_ACTIVITY,)

    def describe(self) -> FeatureSpec:
        """Ten columns, one row per clip."""
        settings = {"frame": FRAME_SECONDS, "silent": SILENT, "clipped": CLIPPED, "quietest": QUIETEST, "floor": FLOOR}
        return FeatureSpec(
            name=self.feature,
            extractor=self.name,
            modality="audio",
            level="utterance",
            columns=tuple(_COLUMNS),
            units=tuple(_COLUMNS.values()),
            recipe=settings,
            source="merflow",
        )

    def load(self, device: str) -> None:
        """Nothing to load."""

    def extract_clip(self, media: Media) -> Features:
        """Measure one clip.

        Raises:
            ClipError: If the clip has no audio, or `too_short` under 20 ms.
        """
        audio = media.audio()
        length = round(FRAME_SECONDS * audio.rate)
        if audio.samples.size < length:
            found = f"{audio.samples.size} samples of audio at {audio.rate} Hz"
            raise ClipError("too_short", f"{found}, one frame needs {length} ({FRAME_SECONDS * 1000:.0f} ms)")
        seconds = audio.samples.size / audio.rate
        speech = speech_intervals(media.feature(VOICE_ACTIVITY)) - audio.start
        count = audio.samples.size // length
        powers = np.square(audio.samples[: count * length].reshape(count, length), dtype=np.float64).mean(axis=1)
        peaks = np.abs(audio.samples)
        row = {
            "silence_share": (_decibels(powers) < SILENT).mean(),
            "clipped_share": (peaks >= CLIPPED).mean(),
            "peak": float(_decibels(peaks.max() ** 2)),
            "level": float(_decibels(np.square(audio.samples, dtype=np.float64).mean())),
            "loudness": _loudness(audio),
            "snr": _snr(powers, speech),
            "speech_share": min(float((speech[:, 1] - speech[:, 0]).sum()) / seconds, 1.0),
            "speech_segments": len(speech),
            "longest_pause": float(np.diff(np.r_[0.0, speech.ravel(), seconds])[::2].max()),
            "duration": seconds,
        }
        return self.checked([[row[name] for name in _COLUMNS]], [[audio.start, audio.end]], [True])


def _decibels(power: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Ten times the logarithm, not under the floor."""
    found: npt.NDArray[np.float64] = 10 * np.log10(np.maximum(power, 10 ** (FLOOR / 10)))
    return found


def _snr(powers: npt.NDArray[np.float64], speech: npt.NDArray[np.float64]) -> float:
    """Decibels of the frames with speech over the quietest of all."""
    middles = (np.arange(len(powers)) + 0.5) * FRAME_SECONDS
    spoken = is_speech_at(middles, speech)
    if not spoken.any():
        return 0.0
    quietest = np.sort(powers)[: max(round(len(powers) * QUIETEST), 1)]
    return float(_decibels(powers[spoken].mean()) - _decibels(quietest.mean()))


def _loudness(audio: Audio) -> float:
    """Integrated loudness in LUFS, by FFmpeg."""
    import av
    from av.filter import Graph

    if audio.samples.size < SHORTEST_LOUDNESS * audio.rate:
        return QUIET
    graph = Graph()
    source = graph.add_abuffer(sample_rate=audio.rate, format="flt", layout="mono", time_base=Fraction(1, audio.rate))
    meter, sink = graph.add("ebur128", "metadata=1:framelog=quiet"), graph.add("abuffersink")
    source.link_to(meter)
    meter.link_to(sink)
    graph.configure()
    loudness = QUIET

    def drain() -> None:
        nonlocal loudness
        while True:
            try:
                found = sink.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            loudness = float(found.metadata.get("lavfi.r128.I", loudness))

    for first in range(0, audio.samples.size, audio.rate):
        block = audio.samples[None, first : first + audio.rate]
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), format="flt", layout="mono")
        frame.sample_rate, frame.pts = audio.rate, first
        source.push(frame)
        drain()
    source.push(None)
    drain()
    return max(loudness, QUIET)
