"""LR-ASD: whether a face speaks while there is speech, from its crops and the audio; a small trained network.

Liao et al., "LR-ASD: Lightweight and Robust Network for Active Speaker Detection", IJCV 2025. Its code could not be
read when this was written: the layout was found from the published parameters, whose norms remember the statistics of
what they were given (docs/decisions/0014-lr-asd.md). Parameters have the published names; every one is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from extractors.core.faces.stored_tracks import without_gaps
from extractors.core.faces.tracking import Track
from extractors.core.media.clip_media import Media
from extractors.core.networks.pth import unpickled
from extractors.core.networks.timm_files import fill_network

RATE = 25.0  # faces a second
SIDE = 112
_WHOLE, _FIRST = 224, 56  # side of the crop, and where its middle begins
_ABOVE, _BELOW, _BESIDE = 1.0, 1.8, 1.4  # of half the box's larger side
_GREY, _MEAN, _DEVIATION = 110, 0.4161, 0.1688
_EPSILON, _MEDIAN = 1e-3, 13
_SECONDS = (1, 1, 1, 2, 2, 2, 3, 3, 4, 5, 6)  # of the pieces over which the published script averages
_UNUSED = ("lossV.",)
Scores = npt.NDArray[np.float64]
Grey = npt.NDArray[np.uint8]


class LrAsd(nn.Module):
    """(B, T) scores, above 0 where a face speaks, from (B, T, 112, 112) grey values and (B, 4 T, 13) coefficients."""

    def __init__(self) -> None:
        super().__init__()
        self.model = _Model()
        self.lossAV = nn.ModuleDict({"FC": nn.Linear(128, 2)})

    def forward(self, faces: Tensor, coefficients: Tensor) -> Tensor:
        """Scores of each moment.

        Args:
            faces: (B, T, 112, 112) grey values, 0 to 255.
            coefficients: (B, 4 T, 13) of the same time.
        """
        scores: Tensor = self.lossAV["FC"](self.model(faces, coefficients))[..., 1]
        return scores


class _Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.visualEncoder, self.audioEncoder = _Encoder(3, (1, 2, 2)), _Encoder(2, (1, 1))
        self.fusion, self.detector = _Gate(256), _Detector()

    def forward(self, faces: Tensor, coefficients: Tensor) -> Tensor:
        of_faces = self.visualEncoder(((faces / 255 - _MEAN) / _DEVIATION)[:, None]).amax(dim=(3, 4))
        of_audio = self.audioEncoder(coefficients.transpose(1, 2)[:, None]).mean(dim=2)
        states: Tensor = self.detector(self.fusion(torch.cat([of_audio, of_faces], dim=1)))
        return states


class _Encoder(nn.Module):
    """Three blocks; between them the larger of neighbours is taken, in space of faces, in time of audio."""

    def __init__(self, sides: int, stride: tuple[int, ...]) -> None:
        super().__init__()
        names = ("s", "t") if sides == 3 else ("m", "t")
        self.block1 = _Block(1, 16, 32, names, stride)
        self.block2 = _Block(32, 32, 64, names)
        self.block3 = _Block(64, 64, 128, names)
        self.pool: nn.Module = (
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)) if sides == 3 else nn.MaxPool2d((1, 3), (1, 2), (0, 1))
        )

    def forward(self, values: Tensor) -> Tensor:
        given: Tensor = self.block3(self.pool(self.block2(self.pool(self.block1(values)))))
        return given


class _Block(nn.Module):
    """Four convolutions, of 5 and 3, first over space (or coefficients), then over time; norm and ReLU after each."""

    def __init__(
        self, before: int, middle: int, after: int, names: tuple[str, str], stride: tuple[int, ...] | None = None
    ) -> None:
        super().__init__()
        is_video = names[0] == "s"
        self._names = [f"{kind}_{n}" for kind in names for n in (1, 2)]
        widths = (before, middle, after, after, after)
        for name, given, made in zip(self._names, widths, widths[1:], strict=False):
            size = 5 if name.endswith("1") else 3
            over = (1, 0) if name[0] != "t" else (0, 1)  # the first axes, or time
            kernel = (1, size, size) if over[0] else (size, 1, 1)
            if not is_video:
                kernel = (size, 1) if over[0] else (1, size)  # type: ignore[assignment]
            layer = nn.Conv3d if is_video else nn.Conv2d
            steps: Any = stride if stride is not None and name == self._names[0] else 1
            padding: Any = tuple(side // 2 for side in kernel)
            setattr(self, name, layer(given, made, kernel, steps, padding, bias=False))  # type: ignore[arg-type]
            norm = nn.BatchNorm3d if is_video else nn.BatchNorm2d
            setattr(self, f"{name[0]}_norm_{name[-1]}", norm(made, _EPSILON))

    def forward(self, values: Tensor) -> Tensor:
        for name in self._names:
            norm = cast("nn.Module", getattr(self, f"{name[0]}_norm_{name[-1]}"))
            values = nn.functional.relu(norm(getattr(self, name)(values)))
        return values


class _Gate(nn.Module):
    """(B, C, T) values, each weighed by what all channels of its moment say."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention, self.bn = nn.Conv1d(width, width, 1, bias=False), nn.BatchNorm1d(width, _EPSILON)

    def forward(self, values: Tensor) -> Tensor:
        weighed: Tensor = values * torch.sigmoid(self.bn(self.attention(values)))
        return weighed


class _Detector(nn.Module):
    """(B, T, 128) of (B, 256, T): what came before and what comes after."""

    def __init__(self) -> None:
        super().__init__()
        self.gru_forward, self.gru_backward = (nn.GRU(256, 64, batch_first=True) for _ in range(2))
        self.attention = _Gate(128)

    def forward(self, values: Tensor) -> Tensor:
        values = values.transpose(1, 2)
        before, after = self.gru_forward(values)[0], self.gru_backward(values.flip(1))[0].flip(1)
        states: Tensor = self.attention(torch.cat([before, after], dim=2).transpose(1, 2)).transpose(1, 2)
        return states


def read_lr_asd(path: Path) -> LrAsd:
    """The network of a published file.

    Args:
        path: `pretrain_AVA.model`, `finetuning_TalkSet.model`, or another one of the same layout.

    Raises:
        RunError: If the file is damaged, or its parameters are others.
    """
    parameters: Mapping[str, Any] = unpickled(path)
    network = LrAsd()
    fill_network(network, parameters, f"{path}: not an LR-ASD", _UNUSED)
    return network.eval()


def face_crop(grey: npt.NDArray[np.floating[Any]], centre: tuple[float, float], half: float) -> Grey:
    """(112, 112) the middle of a face's crop, which reaches a little further down than up.

    Args:
        grey: (H, W) the whole frame.
        centre: Of the face's box, in pixels.
        half: Half of the box's larger side.
    """
    from scipy.ndimage import map_coordinates

    left, right = int(centre[0] - half * _BESIDE), int(centre[0] + half * _BESIDE)
    top, bottom = int(centre[1] - half * _ABOVE), int(centre[1] + half * _BELOW)
    places = np.arange(_FIRST, _FIRST + SIDE) + 0.5
    rows, columns = places * (bottom - top) / _WHOLE - 0.5 + top, places * (right - left) / _WHOLE - 0.5 + left
    at = np.meshgrid(rows, columns, indexing="ij")
    crop = map_coordinates(grey, at, order=1, mode="constant", cval=_GREY)
    made: Grey = np.clip(np.rint(crop), 0, 255).astype(np.uint8)
    return made


def steady(values: Scores) -> Scores:
    """(T,) places or sizes without jumps: the median of 13 frames."""
    from scipy.signal import medfilt

    made: Scores = medfilt(values, _MEDIAN) if len(values) >= _MEDIAN else np.full(len(values), np.median(values))
    return np.where(made > 0, made, values)  # the filter has zeros around


def mfcc(samples: npt.NDArray[np.float32], rate: int) -> Scores:
    """(T, 13) mel-frequency cepstral coefficients of 25 ms every 10 ms, as python_speech_features gives them.

    Args:
        samples: (N,) in -1..1, of a 16-bit file.
        rate: Samples per second.
    """
    from scipy.fft import dct

    signal = samples.astype(np.float64) * 32768
    signal = np.append(signal[:1], signal[1:] - 0.97 * signal[:-1])
    window, hop, points, filters = round(0.025 * rate), round(0.01 * rate), 512, 26
    count = 1 if len(signal) <= window else 1 + -(-(len(signal) - window) // hop)
    padded = np.pad(signal, (0, max(0, (count - 1) * hop + window - len(signal))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop][:count]
    power = np.abs(np.fft.rfft(frames, points)) ** 2 / points
    mels = np.linspace(0, 2595 * np.log10(1 + rate / 2 / 700), filters + 2)
    edges = np.floor((points + 1) * 700 * (10 ** (mels / 2595) - 1) / rate)
    bins = np.arange(points // 2 + 1)[:, None]
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (bins - low) / (middle - low), (high - bins) / (high - middle)
    bank = np.where(bins < middle, np.where(bins >= low, rising, 0), np.where(bins < high, falling, 0))
    least = np.finfo(np.float64).eps
    energy, banded = power.sum(axis=1), power @ bank
    kept = dct(np.log(np.where(banded == 0, least, banded)), type=2, axis=1, norm="ortho")[:, :13]
    kept *= 1 + 11 * np.sin(np.pi * np.arange(13) / 22)
    kept[:, 0] = np.log(np.where(energy == 0, least, energy))
    return np.asarray(kept)


def frame_scores(network: LrAsd, crops: Grey, coefficients: Scores) -> Scores:
    """(T,) scores of a face at 25 Hz: means over pieces of one to six seconds, as the published script takes them.

    Args:
        network: The network.
        crops: (T, 112, 112).
        coefficients: (about 4 T, 13), from the same moment on.
    """
    steps = min(len(crops), len(coefficients) // 4)
    faces = torch.from_numpy(crops[:steps].astype(np.float32))[None]
    of_audio = torch.from_numpy(coefficients[: 4 * steps].astype(np.float32))[None]
    total = np.zeros(steps)
    given: dict[int, Scores] = {}
    with torch.inference_mode():
        for seconds in _SECONDS:
            if seconds not in given:
                size = int(seconds * RATE)
                cuts = range(0, steps, size)
                parts = [network(faces[:, i : i + size], of_audio[:, 4 * i : 4 * (i + size)])[0].numpy() for i in cuts]
                given[seconds] = np.concatenate(parts)
            total += given[seconds]
    return total / len(_SECONDS)


def network_scores(
    network: LrAsd, media: Media, tracks: Sequence[Track], stamps: Scores
) -> dict[int, tuple[Scores, Scores]]:
    """Seconds and score of each track, 25 times a second from its first frame to its last; one pass over the frames.

    Args:
        network: The network.
        media: The clip's media.
        tracks: The tracks.
        stamps: (T, 2) seconds in which the clip's frames are shown.
    """
    audio = media.audio()
    grids, wanted, crops = {}, {}, {track.id: dict[int, Grey]() for track in tracks}
    for track in tracks:
        middles = stamps[track.first : track.last + 1].mean(axis=1)
        grids[track.id] = np.arange(middles[0], middles[-1] + 1e-9, 1 / RATE)
        shown = np.searchsorted(stamps[:, 0], grids[track.id], side="right") - 1
        wanted[track.id] = np.clip(shown, track.first, track.last)
    places = {track.id: _places(track) for track in tracks}
    for frame in media.frames():
        here = [track for track in tracks if frame.index in wanted[track.id]]
        if here:
            grey = np.rint(frame.rgb() @ np.array([0.299, 0.587, 0.114]))
            for track in here:
                x, y, half = places[track.id][frame.index - track.first]
                crops[track.id][frame.index] = face_crop(grey, (x, y), half)
    scores = {}
    for track in tracks:
        grid = grids[track.id]
        skipped = max(round((grid[0] - audio.start) * audio.rate), 0)
        of_audio = audio.samples[skipped:]
        faces = np.stack([crops[track.id][index] for index in wanted[track.id].tolist()])
        found = frame_scores(network, faces, mfcc(of_audio, audio.rate)) if len(of_audio) else np.zeros(0)
        scores[track.id] = grid[: len(found)], found
    return scores


def _places(track: Track) -> Scores:
    """(N, 3) centre and half of the larger side of a track's box, without jumps; gaps interpolated."""
    left, top, right, bottom = without_gaps(track.boxes).T
    half = np.maximum(right - left, bottom - top) / 2
    return np.stack([steady(values) for values in ((left + right) / 2, (top + bottom) / 2, half)], axis=1)
