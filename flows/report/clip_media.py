"""A clip's own media for its page: the audio's outline, a strip of frames, and a small copy that plays in a browser.

Frames and the copy show people, and are made only where somebody asks for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from extractors.core.media.audio import Audio
from extractors.core.media.clip_media import Media
from extractors.core.media.frames import Frame
from flows.report.clip_tracks import Track
from storage.clip import Clip
from storage.errors import ClipError
from storage.records import Features
from storage.store.store import FeatureStore
from storage.vocabulary.face_columns import BOX
from storage.vocabulary.face_tracks import FACE_TRACKS

if TYPE_CHECKING:
    from PIL import Image

SHOWN, THUMBNAIL = 8, 180  # frames of a strip, and the height of each in pixels
COPY_SIDE = 480  # longer side of the copy, at most
WAVE_CELLS = 1500
LANDMARKS = 68
Numbers = npt.NDArray[np.float32]
_BOX_COLOUR, _POINT_COLOUR = (255, 196, 0), (0, 220, 255)
_TRACK_COLOUR = (120, 190, 255)


class ClipMedia:
    """A clip, decoded once for its page.

    Args:
        store: The store.
        clip: The clip.
        frames: Whether its frames are wanted too.

    Attributes:
        problem: Why there is no audio to draw; empty where there is.
    """

    def __init__(self, store: FeatureStore, clip: Clip, *, frames: bool) -> None:
        self._store, self._clip = store, clip
        self._media = Media(clip, store.manifest.root_of(clip), audio=True, video=frames)
        self._media.decode()
        self._audio: Audio | None = None
        self.problem = ""
        try:
            self._audio = self._media.audio()
        except ClipError as error:
            self.problem = error.message

    def wave(self) -> Track | None:
        """Lowest and highest sample over time; None without audio."""
        if self._audio is None or not self._audio.samples.size:
            return None
        samples = self._audio.samples.astype(np.float64)
        cells = min(WAVE_CELLS, samples.size)
        edges = np.linspace(0, samples.size, cells + 1).astype(np.int64)
        low = np.minimum.reduceat(samples, edges[:-1])
        high = np.maximum.reduceat(samples, edges[:-1])
        times = self._audio.start + (edges[:-1] + edges[1:]) / 2 / self._audio.rate
        return Track("audio", "wave", times, np.stack([low, high], axis=1), ["lowest", "highest"], "of full scale")

    @property
    def clip_id(self) -> str:
        """Id of the clip."""
        return self._clip.id

    def frames(self) -> Iterator[Frame]:
        """The clip's frames in order.

        Raises:
            ClipError: If it has none, or they cannot be read.
        """
        return self._media.frames()

    def strip(self, path: Path) -> bool:
        """Write some frames side by side, with the main face's box and landmarks where the store has them.

        Args:
            path: JPEG file to write.

        Returns:
            Whether the clip has frames.
        """
        from PIL import Image, ImageDraw

        try:
            count = len(self._media.frame_times())
        except ClipError:
            return False
        chosen = set(np.linspace(0, count - 1, min(SHOWN, count)).round().astype(int).tolist())
        marks = Marks(self._store, self._clip.id)
        thumbnails: list[Image.Image] = []
        for frame in self._media.frames():
            if frame.index not in chosen:
                continue
            image = Image.fromarray(frame.rgb())
            draw = ImageDraw.Draw(image)
            wide = max(round(image.height / THUMBNAIL * 1.5), 1)
            for track, other in marks.tracks_at(frame.start):
                draw.rectangle(other.tolist(), outline=_TRACK_COLOUR, width=wide)
                draw.text(
                    (other[0] + wide, other[3] - 12 * wide), f"face {track}", fill=_TRACK_COLOUR, font_size=10 * wide
                )
            box, points = marks.at(frame.index)
            if box is not None:
                draw.rectangle(box.tolist(), outline=_BOX_COLOUR, width=wide)
            if points is not None:
                for x, y in points.reshape(2, LANDMARKS).T:
                    draw.ellipse([x - wide, y - wide, x + wide, y + wide], fill=_POINT_COLOUR)
            thumbnails.append(_with_time(image, frame.start))
        whole = Image.new("RGB", (sum(image.width for image in thumbnails), THUMBNAIL))
        left = 0
        for image in thumbnails:
            whole.paste(image, (left, 0))
            left += image.width
        whole.save(path, quality=85)
        return True

    def copy(self, path: Path) -> bool:
        """Write what extractors read as a small video that browsers play, starting at the clip's start.

        Args:
            path: MP4 file to write.

        Returns:
            Whether the clip has frames.
        """
        import av

        try:
            times = self._media.frame_times()
        except ClipError:
            return False
        clock = Fraction(1, 90_000)
        with closing(av.open(str(path), "w", options={"movflags": "faststart"})) as container:
            video: Any = None
            audio_stream: Any = None
            if self._audio is not None:
                audio_stream = container.add_stream("aac", rate=self._audio.rate, layout="mono")
            for frame in self._media.frames():
                rgb = frame.rgb()
                if video is None:
                    video = container.add_stream("libx264", rate=25)
                    video.width, video.height = _copy_size(rgb.shape[1], rgb.shape[0])
                    video.pix_fmt, video.codec_context.time_base = "yuv420p", clock
                    video.time_base = clock
                    video.options = {"preset": "veryfast", "crf": "26"}
                small = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
                    video.width, video.height, format="yuv420p"
                )
                small.time_base, small.pts = clock, round(times[frame.index, 0] / clock)
                for packet in video.encode(small):
                    container.mux(packet)
            if video is not None:
                container.mux(video.encode(None))
            if audio_stream is not None and self._audio is not None:
                _encode_audio(container, audio_stream, self._audio)
        return True

    def close(self) -> None:
        """Free what was decoded."""
        self._media.close()


class Marks:
    """Box and landmarks of a clip's main face, frame by frame, where a store has them and they mean anything.

    Args:
        store: The store.
        clip_id: The clip.
    """

    def __init__(self, store: FeatureStore, clip_id: str) -> None:
        landmarks = tuple(f"{axis}_{i}" for axis in "xy" for i in range(LANDMARKS))
        self._box, self._points = (_rows(store, clip_id, wanted) for wanted in (BOX, landmarks))
        self._tracks = _rows(store, clip_id, ("track_id", *BOX), FACE_TRACKS)

    def at(self, index: int) -> tuple[Numbers | None, Numbers | None]:
        """x1, y1, x2, y2 of the box, and 68 x and 68 y of the landmarks, in pixels; None where there are none.

        Args:
            index: Number of the frame.
        """
        return _row(self._box, index), _row(self._points, index)

    def tracks_at(self, start: float) -> list[tuple[int, Numbers]]:
        """Id, and x1, y1, x2, y2 in pixels, of every face of a frame, where `face_tracks` is stored.

        Args:
            start: Seconds at which the frame is shown.
        """
        if self._tracks is None:
            return []
        first, last = np.searchsorted(self._tracks.times[:, 0], (start - 1e-6, start + 1e-6))
        return [(int(row[0]), row[1:]) for row in self._tracks.values[first:last]]


def _rows(store: FeatureStore, clip_id: str, wanted: tuple[str, ...], extractor: str = "") -> Features | None:
    """The columns of the first per-frame feature of the clip that has them all, and that is not synthetic.

    `face_tracks` has a row for each face of a frame, and is taken only where it is asked for.
    """
    for name, spec in store.specs.items():
        places = {column: i for i, column in enumerate(spec.columns)}
        fits = spec.extractor == extractor if extractor else spec.extractor != FACE_TRACKS
        is_real = spec.level == "frame" and not spec.synthetic
        has_all = fits and is_real and all(column in places for column in wanted)
        if has_all and store.has(clip_id, name):
            rows = store.get(clip_id, name)
            values = np.ascontiguousarray(rows.values[:, [places[column] for column in wanted]])
            return Features(values, rows.times, rows.valid)
    return None


def _row(rows: Features | None, index: int) -> Numbers | None:
    if rows is None or index >= len(rows.valid) or not rows.valid[index]:
        return None
    found: Numbers = rows.values[index]
    return found


def _with_time(image: Image.Image, start: float) -> Image.Image:
    from PIL import ImageDraw

    small = image.resize((max(round(image.width * THUMBNAIL / image.height), 1), THUMBNAIL))
    ImageDraw.Draw(small).text((5, 4), f"{start:.2f} s", fill=(255, 255, 255), stroke_width=2, stroke_fill=(0, 0, 0))
    return small


def _copy_size(width: int, height: int) -> tuple[int, int]:
    scale = min(COPY_SIDE / max(width, height), 1.0)
    return max(round(width * scale / 2) * 2, 2), max(round(height * scale / 2) * 2, 2)


def _encode_audio(container: Any, stream: Any, audio: Audio) -> None:
    import av

    late = round(audio.start * audio.rate)
    samples = np.concatenate([np.zeros(max(late, 0), np.float32), audio.samples[max(-late, 0) :]])
    frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
    frame.sample_rate = audio.rate
    fifo = av.AudioFifo()
    fifo.write(frame)
    size = stream.codec_context.frame_size or 1024
    while (block := fifo.read(size, partial=True)) is not None:
        for packet in stream.encode(block):
            container.mux(packet)
    container.mux(stream.encode(None))
