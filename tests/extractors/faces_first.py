"""Extractors that need faces, used without a flow: their inputs are set, and faces are detected where nobody did."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from configs.sections import Faces
from extractors.core.extractor import Extractor, build_extractor
from extractors.core.media.clip_media import Media
from storage.records import Failure, Features
from storage.vocabulary.face_columns import FACE_COLUMNS, FACES

DEFAULT = Faces()
_stated: Callable[[Media, Faces], Features | Failure] | None = None  # by `hide_faces`


def face_extractor(faces: Faces = DEFAULT) -> Extractor[Any]:
    return build_extractor(FACES, FACES, faces.model_dump(exclude_unset=True))


def detect(media: Media, faces: Faces) -> Features | Failure:
    [outcome] = face_extractor(faces).extract([media])
    return outcome


def with_faces(media: Media, faces: Faces = DEFAULT) -> Media:
    """The clip, with its faces set."""
    if not media.has_feature(FACES):
        media.set_feature(FACES, (_stated or detect)(media, faces))
    return media


def build_alone(
    name: str, feature: str | None = None, options: dict[str, Any] | None = None, faces: Faces = DEFAULT
) -> Extractor[Any]:
    """An extractor that may be used without a flow."""
    made = build_extractor(name, feature or name, options or {})
    if FACES in made.needs:
        made.inputs[FACES] = face_extractor(faces).spec
    extract = made.extract

    def extract_with_faces(batch: Sequence[Media]) -> list[Features | Failure]:
        return extract([with_faces(media, faces) for media in batch] if FACES in made.needs else batch)

    made.extract = extract_with_faces  # type: ignore[method-assign]
    return made


def hide_faces(monkeypatch: pytest.MonkeyPatch, boxes: np.ndarray) -> None:
    """Have every clip's faces be these boxes (T, 4), NaN for no face."""

    def stated(media: Media, _faces: Faces) -> Features:
        values = np.full((len(boxes), len(FACE_COLUMNS)), 1.0, np.float32)
        values[:, :4] = boxes
        valid = np.isfinite(values).all(axis=1)
        values[~valid] = np.nan
        return Features(values, media.frame_times(), valid)

    monkeypatch.setattr(f"{__name__}._stated", stated)
