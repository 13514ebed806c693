"""How well a mouth moves with a voice, from five landmarks, grey crops and the audio; no weights.

A face is laid on a fixed template by its landmarks, six series say how its mouth, lips and chin move, two say how the
voice does, and the score is the mean of the twelve largest correlations between them within a fifth of a second.
Measured on single-speaker clips side by side: `benchmarks/speaking.py` and docs/speaking.md.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Grey = npt.NDArray[np.float32]

# Where the five points of a face lie in ArcFace's 112 x 112 template, moved by 8 pixels into a crop of 128 x 144.
_ARCFACE = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
TEMPLATE = np.array(_ARCFACE) + 8.0
WIDTH, HEIGHT = 128, 144
RATE = 25.0  # series a second
LAGS = 5  # of them, to both sides
_MEDIAN, _SMOOTH = 5, 2.0  # frames, of the landmarks
_NORMAL = (slice(30, 130), slice(25, 103))
_UPPER = (slice(44, 86), slice(32, 96))
_MOUTH = (slice(88, 128), slice(40, 90))
_INNER = (slice(94, 112), slice(48, 80))
_CHIN = (slice(106, 136), slice(44, 86))
_LIP = (slice(78, 98), slice(46, 84))
FLOORS = (0.002, 0.002, 0.002, 0.006, 0.001, 0.002)
"""Of each series' deviation: what video compression leaves of a still face is under it, what a mouth does far above."""
_Region = tuple[slice, slice]


def smoothed(landmarks: Array) -> Array:
    """(T, 5, 2) landmarks without jitter: median over 5 frames, then a Gaussian of two frames.

    Args:
        landmarks: (T, 5, 2) pixels.
    """
    from scipy.ndimage import gaussian_filter1d, median_filter

    middle = median_filter(landmarks, size=(_MEDIAN, 1, 1), mode="nearest")
    made: Array = gaussian_filter1d(middle, _SMOOTH, axis=0, mode="nearest")
    return made


def template_crop(rgb: npt.NDArray[np.uint8], points: Array) -> Grey:
    """(144, 128) grey crop of a face laid on the template by the similarity that fits its five points best.

    Args:
        rgb: (H, W, 3) the whole frame.
        points: (5, 2) landmarks in its pixels.
    """
    from scipy.ndimage import map_coordinates

    scale, offset = _similarity(TEMPLATE, points)
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    at = np.stack([columns, rows], axis=-1).reshape(-1, 2) @ scale.T + offset
    low = np.clip(np.floor(at.min(axis=0)).astype(int) - 1, 0, [rgb.shape[1] - 1, rgb.shape[0] - 1])
    high = np.clip(np.ceil(at.max(axis=0)).astype(int) + 2, low + 1, [rgb.shape[1], rgb.shape[0]])
    part = rgb[low[1] : high[1], low[0] : high[0]].astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    step = max(int(np.sqrt(abs(np.linalg.det(scale)))), 1)
    if step > 1:  # a large face is averaged first
        part = _averaged(part, step)
    where = (at - low - (step - 1) / 2) / step
    crop: Grey = map_coordinates(part, where.T[::-1], order=1, mode="nearest").reshape(HEIGHT, WIDTH)
    return crop


def _averaged(image: Grey, step: int) -> Grey:
    rows, columns = (max(n // step, 1) * step for n in image.shape)
    padded = np.pad(image, ((0, max(rows - image.shape[0], 0)), (0, max(columns - image.shape[1], 0))), mode="edge")
    made: Grey = padded[:rows, :columns].reshape(rows // step, step, columns // step, step).mean(axis=(1, 3))
    return made


def _similarity(source: Array, target: Array) -> tuple[Array, Array]:
    """(2, 2) rotation times scale, and (2,) offset, that map one set of points nearest to another (Umeyama)."""
    mean_s, mean_t = source.mean(axis=0), target.mean(axis=0)
    a, b = source - mean_s, target - mean_t
    x, y = a[:, 0], a[:, 1]
    norm = (x**2 + y**2).sum()
    cos, sin = (x * b[:, 0] + y * b[:, 1]).sum() / norm, (x * b[:, 1] - y * b[:, 0]).sum() / norm
    matrix = np.array([[cos, -sin], [sin, cos]])
    return matrix, mean_t - matrix @ mean_s


class MouthSeries:
    """How one face's mouth moves, from crop to crop; two crops are in memory at a time."""

    def __init__(self) -> None:
        self._before: Grey | None = None
        self._rows: list[Array] = []
        self._squares = self._count = 0.0

    def add(self, rgb: npt.NDArray[np.uint8], points: Array) -> None:
        """Take in the next frame.

        Args:
            rgb: (H, W, 3) the whole frame.
            points: (5, 2) smoothed landmarks in its pixels.
        """
        crop = template_crop(rgb, points)
        inside = crop[_NORMAL]
        crop = crop - inside.mean()
        self._squares += float((crop[_NORMAL] ** 2).sum())
        self._count += inside.size
        self._rows.append(np.zeros(6) if self._before is None else _change(self._before, crop))
        self._before = crop

    def series(self) -> Array:
        """(6, T) each the change to a frame from the one before it, the first 0; grey values over their deviation."""
        deviation = max(float(np.sqrt(self._squares / max(self._count, 1.0))), 1e-6)
        scale = np.array([deviation, deviation, deviation, 1.0, deviation, deviation])
        made: Array = (np.array(self._rows) / scale).T
        return made


def _change(before: Grey, after: Grey) -> Array:
    head = _translation(before, after, _UPPER)
    steady = _moved(after, head)
    upper = _absolute(before, steady, _UPPER)
    lip, chin = _translation(before, steady, _LIP), _translation(before, steady, _CHIN)
    mouth = _absolute(before, _moved(after, head + lip), _MOUTH)
    opening = abs(float(steady[_INNER].mean() - before[_INNER].mean()))
    middle = (_MOUTH[0], slice(55, 75))
    profile = np.abs(steady[middle].mean(axis=1) - before[middle].mean(axis=1)).mean()
    return np.array(
        [_absolute(before, after, _MOUTH), mouth, mouth - upper, abs(float(chin[1] - lip[1])), opening, float(profile)]
    )


def _absolute(one: Grey, other: Grey, region: _Region) -> float:
    return float(np.abs(one[region] - other[region]).mean())


def _translation(before: Grey, after: Grey, region: _Region) -> Array:
    """(2,) pixels x, y by which a later image is moved back onto a region, by Lucas and Kanade: sigma 1.5, 4 rounds."""
    from scipy.ndimage import gaussian_filter

    margin = 6
    rows, columns = region
    wide = (
        slice(max(rows.start - margin, 0), rows.stop + margin),
        slice(columns.start - margin, columns.stop + margin),
    )
    one, other = gaussian_filter(before[wide], 1.5), gaussian_filter(after[wide], 1.5)
    inner = (slice(margin, margin + rows.stop - rows.start), slice(margin, margin + columns.stop - columns.start))
    down, across = np.gradient(one)
    gradient = np.stack([across[inner].ravel(), down[inner].ravel()], axis=1).astype(np.float64)
    matrix = gradient.T @ gradient + 1e-6 * np.eye(2)
    moved = np.zeros(2)
    for _ in range(4):
        difference = (one[inner] - _moved(other, moved)[inner]).ravel()
        moved -= np.linalg.solve(matrix, gradient.T @ difference)
        moved = np.clip(moved, -margin + 1, margin - 1)
    return moved


def _moved(image: Grey, by: Array) -> Grey:
    """An image read at places moved by some pixels x, y."""
    from scipy.ndimage import shift

    made: Grey = shift(image, (by[1], by[0]), order=1, mode="nearest")
    return made


def flux(samples: npt.NDArray[np.float32], rate: int) -> tuple[Array, Array]:
    """Times and spectral flux of audio: mean absolute change of 8 log-mel bands, 100 to 6000 Hz, every 10 ms.

    Args:
        samples: (N,) one channel.
        rate: Samples a second.
    """
    from scipy.ndimage import gaussian_filter1d
    from scipy.signal import stft

    hop, window = rate // 100, rate // 40
    if len(samples) < 4 * window:
        return np.zeros(0), np.zeros(0)
    frequencies, at, spectrum = stft(samples, rate, nperseg=window, noverlap=window - hop, boundary=None, padded=False)
    power = np.abs(spectrum) ** 2
    edges = 700 * (10 ** (np.linspace(_mel(100), _mel(6000), 10) / 2595) - 1)
    bands = np.stack([_triangle(frequencies, *edges[i : i + 3]) @ power for i in range(8)])
    levels = gaussian_filter1d(np.log(bands + 1e-3 * bands.mean() + 1e-12), 2.0, axis=1)
    change = np.abs(np.diff(levels, axis=1)).mean(axis=0)
    return at[1:], gaussian_filter1d(change, 2.0)


def _mel(hertz: float) -> float:
    return float(2595 * np.log10(1 + hertz / 700))


def _triangle(frequencies: Array, low: float, centre: float, high: float) -> Array:
    up, down = (frequencies - low) / (centre - low), (high - frequencies) / (high - centre)
    made: Array = np.clip(np.minimum(up, down), 0, None)
    return made


def on_grid(times: Array, series: Array, grid: Array) -> Array:
    """Series on a regular grid, smoothed by a Gaussian of one step; edges are held.

    Args:
        times: (N,) seconds, rising.
        series: (K, N) values.
        grid: (M,) seconds.
    """
    from scipy.ndimage import gaussian_filter1d

    laid = np.stack([np.interp(grid, times, row) for row in np.atleast_2d(series)])
    made: Array = gaussian_filter1d(laid, 1.0, axis=1, mode="nearest")
    return made


def synchrony(mouth: Array, voice: Array) -> float:
    """Mean over all pairs of the largest correlation within the lags.

    Args:
        mouth: (6, M) series of a face on a grid of 25 a second.
        voice: (2, M) series of the audio on the same grid.
    """
    pairs = ((one, other, floor) for one, floor in zip(mouth, FLOORS, strict=True) for other in voice)
    return float(np.mean([max(_correlations(*pair)) for pair in pairs]))


def _correlations(one: Array, other: Array, floor: float) -> Iterator[float]:
    n = len(one)
    for lag in range(-LAGS, LAGS + 1):
        a, b = (one[lag:], other[: n - lag]) if lag >= 0 else (one[: n + lag], other[-lag:])
        a, b = a - a.mean(), b - b.mean()
        norm = np.sqrt((a @ a + len(a) * floor**2) * (b @ b))
        yield float(a @ b / norm) if norm > 1e-12 else 0.0
