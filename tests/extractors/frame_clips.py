"""What the tests of networks on frames share: tiny weights, a synthetic clip, faces put where a test wants them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from configs.sections import Faces
from extractors.core.extractor import Extractor
from extractors.core.media.clip_media import Media
from storage.clip import Clip
from storage.records import Features
from tests.extractors.faces_first import build_alone
from tests.media import square, write_clip

TINY = {"random": {"seed": 0, "size": "tiny"}}
CENTER = Faces(detector="center")


def media_of(folder: Path, frames: int, name: str = "a") -> Media:
    """A decoded clip of so many frames, 25 a second; clips of other names look different."""
    shown = [np.roll(square(i), 7 * ord(name[0]), axis=0) for i in range(frames)]
    write_clip(folder / f"{name}.mp4", seconds=frames / 25, frames=shown, audio=None)
    media = Media(Clip(name, video=f"{name}.mp4"), folder)
    media.decode()
    assert len(media.frame_times()) == frames
    return media


def built(name: str, options: dict[str, Any], faces: Faces = CENTER) -> Extractor[Any]:
    """An extractor, loaded."""
    extractor = build_alone(name, name, {"weights": TINY} | options, faces)
    extractor.load("cpu")
    return extractor


def run(name: str, media: Media, **options: Any) -> Features:
    """What an extractor gives for one clip."""
    extractor = built(name, options)
    (outcome,) = extractor.extract([media])
    assert isinstance(outcome, Features), outcome
    assert outcome.values.shape[1] == len(extractor.spec.columns)
    return outcome


def worst_of_batching(name: str, options: dict[str, Any], clips: Sequence[Media]) -> float:
    """Largest relative difference between each clip alone and all of them in batches, in two orders."""
    alone = built(name, options)
    assert alone.budget == 0
    expected = [alone.extract([fresh(media)])[0] for media in clips]
    together = built(name, options)
    together.budget = 10**12
    forward, sizes = together.forward, []
    together.forward = lambda units: (sizes.append(len(units)), forward(units))[1]  # type: ignore[method-assign]
    worst = 0.0
    for step in (1, -1):
        found = together.extract([fresh(media) for media in clips[::step]])[::step]
        for one, other in zip(expected, found, strict=True):
            worst = max(worst, float(np.abs(one.values - other.values).max() / np.abs(one.values).max()))
    assert max(sizes) > len(clips) - 1
    return worst


def fresh(media: Media) -> Media:
    """The same clip, without what was computed of it."""
    again = Media(media.clip, media._root)
    again.decode()
    return again
