"""Where in a clip somebody speaks, by silero-vad: a trained network whose weights are inside its package.

Silero Team, "Silero VAD: pre-trained enterprise-grade Voice Activity Detector", MIT licence. Its own code decides what
a segment of speech is, and its own network gives the probabilities.
"""

from __future__ import annotations

import warnings
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from configs.sections import VoiceActivity as VoiceActivityOptions
from extractors.core.extractor import Extractor
from extractors.core.media.audio import Audio
from extractors.core.media.clip_media import Media
from storage.errors import ClipError
from storage.records import Features, FeatureSpec
from storage.vocabulary.speech import SPEECH_COLUMNS, is_speech_at

WINDOW = 512  # samples at 16 kHz that one look of the network takes: 32 ms
RATE = 16_000


class VoiceActivity(Extractor[VoiceActivityOptions]):
    """Speech over time.

    - `speech_probability`: of the network, 0..1; of a segment the mean of its windows.
    - `is_speech`: 1 where the middle of the row lies in a segment of speech, else 0.

    The last window may reach beyond the end of the audio; its row ends there.
    """

    name = "voice_activity"
    Options = VoiceActivityOptions
    engines: ClassVar[tuple[str, ...]] = ("silero-vad",)
    libraries: ClassVar[tuple[str, ...]] = ("numpy", "torch")
    modality: ClassVar[Literal["audio"]] = "audio"
    licence = "silero-vad: MIT"

    def describe(self) -> FeatureSpec:
        """Two columns; a row every 32 ms, or one for each segment."""
        in_windows = self.options.rows == "windows"
        return FeatureSpec(
            name=self.feature,
            extractor=self.name,
            modality="audio",
            level="frame",
            columns=SPEECH_COLUMNS,
            units=("0..1", "0/1"),
            hop=WINDOW / RATE if in_windows else None,
            window=WINDOW / RATE if in_windows else None,
            recipe=self.options.model_dump(mode="json") | {"rate_hz": RATE},
            source="silero-vad",
        )

    def load(self, device: str) -> None:
        """Load the network; it runs on the CPU whatever the device, since it looks at one window after another."""
        import torch

        threads = torch.get_num_threads()
        from silero_vad import load_silero_vad

        torch.set_num_threads(threads)  # importing silero-vad sets it to 1 for the whole process
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # silero-vad ships TorchScript, which torch calls old
            self._network = load_silero_vad()

    def close(self) -> None:
        """Free the network."""
        self._network = None

    def extract_clip(self, media: Media) -> Features:
        """Look at one clip.

        Raises:
            ClipError: If the clip has no audio, or `too_short` without a sample.
        """
        audio = media.audio()
        if not audio.samples.size:
            raise ClipError("too_short", "the clip's audio has no samples")
        probabilities = self._probabilities(audio.samples)
        segments = self._segments(probabilities, audio)
        starts = np.arange(len(probabilities)) * WINDOW
        windows = np.stack([starts, np.minimum(starts + WINDOW, audio.samples.size)], axis=1)
        middles = windows.mean(axis=1)
        if self.options.rows == "segments":
            inside = [probabilities[(middles >= first) & (middles < last)] for first, last in segments]
            values = np.array([(found.mean(), 1.0) for found in inside]).reshape(-1, 2)
            return self.checked(values, segments / RATE + audio.start, np.ones(len(segments), np.bool_))
        values = np.stack([probabilities, is_speech_at(middles, segments)], axis=1)
        return self.checked(values, windows / RATE + audio.start, np.ones(len(windows), np.bool_))

    def _probabilities(self, samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """(T,) probability of each window, the last one filled up with silence, as silero-vad does."""
        import torch

        network: Any = self._network
        filled = np.zeros(-(-samples.size // WINDOW) * WINDOW, np.float32)
        filled[: samples.size] = samples
        with torch.inference_mode():
            network.reset_states()
            windows = torch.from_numpy(filled.reshape(-1, WINDOW))
            return np.array([float(network(window, RATE)) for window in windows])

    def _segments(self, probabilities: npt.NDArray[np.float64], audio: Audio) -> npt.NDArray[np.int64]:
        """(K, 2) samples at which each segment of speech starts and ends."""
        from silero_vad import get_speech_timestamps_from_probs

        found = get_speech_timestamps_from_probs(
            probabilities.tolist(),
            sampling_rate=RATE,
            threshold=self.options.threshold,
            min_speech_duration_ms=self.options.min_speech * 1000,
            min_silence_duration_ms=self.options.min_silence * 1000,
            speech_pad_ms=self.options.padding * 1000,
            audio_length_samples=audio.samples.size,
        )
        return np.array([(one["start"], one["end"]) for one in found], np.int64).reshape(-1, 2)
