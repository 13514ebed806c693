"""Frames and face crops in exports: those that the extractors saw, from the media, read by whoever exports."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from configs.errors import RunError
from extractors.core.media.clip_media import Media
from extractors.core.media.frame_reader import MediaFrameReader
from storage.clip import Clip
from storage.errors import ClipError
from storage.exporters import export
from storage.records import Features
from tests.exports import ACTION_UNITS, CLIPS, FACES, FRAMES, HUBERT, MAE, VIDEOMAE, features, make_store
from tests.media import write_clip

SPECS = (HUBERT, MAE, VIDEOMAE, ACTION_UNITS)


@pytest.fixture(scope="module")
def filmed(tmp_path_factory):
    """A store whose clips have media: every frame of a video has a brightness of its own."""
    root = tmp_path_factory.mktemp("filmed")
    (root / "store/media").mkdir(parents=True)
    clips = []
    for clip in CLIPS[:2]:
        n = FRAMES[clip.id]
        frames = [np.full((48, 64, 3), 40 + 4 * i, np.uint8) for i in range(n + 5)]
        write_clip(root / "store/media" / f"{clip.id}.mp4", frames=frames, seconds=(n + 5) / 25)
        clips.append(replace(clip, start=0.2, crop=(0.0, 0.0, 0.5, 1.0)))
    (root / "store/media").rename(root / "media")
    store = make_store(root / "store", clips, SPECS)
    (root / "media").rename(root / "store/media")
    return store


def test_frames_are_those_that_the_extractors_counted(filmed, tmp_path):
    lines = export("merr", filmed, tmp_path / "out", {"images": "first,middle,peak"}, MediaFrameReader())
    assert [line for line in lines if "images" in line] == [
        f"images/{w}: 2 of 2 clips" for w in ("first", "middle", "peak")
    ]
    entries = json.loads((tmp_path / "out/MERR_coarse_grained.json").read_text())
    for clip in filmed.clips():
        media = Media(clip, filmed.manifest.root_of(clip), audio=False)
        media.decode()
        frames = [frame.rgb() for frame in media.frames()]
        assert len(frames) == FRAMES[clip.id]
        assert abs(int(frames[0].mean()) - 60) < 4  # the sixth frame of the file is the clip's first
        places = {"first": 0, "middle": len(frames) // 2, "peak": int(entries[clip.id]["peak_index"])}
        for which, at in places.items():
            with Image.open(tmp_path / f"out/images/{which}/{clip.id}.png") as frame:
                assert frame.size == (32, 48)
                assert np.asarray(frame).tobytes() == frames[at].tobytes()


def test_frames_need_media_and_somebody_to_read_them(filmed, tmp_path, tmp_path_factory):
    store = make_store(tmp_path_factory.mktemp("no_media") / "store", specs=SPECS)
    with pytest.raises(RunError, match="option images: needs the clips' media"):
        export("merr", filmed, tmp_path / "out", {"images": "first"})
    with pytest.raises(
        RunError, match=r"clip clip_2_Cooking_1, frames: expected media that can be read, got .*no such file"
    ):
        export("merr", store, tmp_path / "out", {"images": "first"}, MediaFrameReader())
    with pytest.raises(RunError, match=r"option images: expected none or some of first, middle, peak, got 'last'"):
        export("merr", filmed, tmp_path / "out", {"images": "first,last"}, MediaFrameReader())

    class Short:
        def frames(self, clip: Clip, root: Path):
            yield np.zeros((4, 4, 3), np.uint8)

    with pytest.raises(RunError, match="clip clip_2_Cooking_1, frames: expected frame 5 and those before, got fewer"):
        export("merr", filmed, tmp_path / "out", {"images": "middle"}, Short())  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_the_reader_refuses_what_has_no_frames(tmp_path):
    write_clip(tmp_path / "a.wav", video=False)
    for clip, reason in (
        (Clip("a"), "no_video"),
        (Clip("a", video="a.wav"), "no_video"),
        (Clip("a", video="b"), "missing_file"),
    ):
        with pytest.raises(ClipError) as error:
            next(MediaFrameReader().frames(clip, tmp_path))
        assert error.value.reason == reason


# Face crops for MERTools


@pytest.fixture(scope="module")
def faced(tmp_path_factory):
    """Clips with media: a blue square on the left half, red on the right, and one clip without a face."""
    root = tmp_path_factory.mktemp("faced")
    frame = np.zeros((120, 160, 3), np.uint8)
    frame[:, :80, 2] = frame[:, 80:, 0] = 200
    store = make_store(root / "store", CLIPS[:2], [VIDEOMAE, FACES], replaced=_boxes())
    (root / "store/media").mkdir()
    for clip in CLIPS[:2]:
        n = FRAMES[clip.id]
        write_clip(root / f"store/media/{clip.id}.mp4", frames=[frame] * n, seconds=n / 25)
    return store


def _boxes() -> dict[tuple[str, str], Features]:
    first = features(FACES, CLIPS[0].id, FRAMES[CLIPS[0].id])
    values = first.values.copy()
    values[:5, :4], values[5:, :4] = [10, 30, 50, 70], [110, 30, 150, 70]
    values[~first.valid] = np.nan
    second = features(FACES, CLIPS[1].id, FRAMES[CLIPS[1].id])
    none = Features(np.full_like(second.values, np.nan), second.times, np.zeros(len(second.valid), np.bool_))
    return {
        (CLIPS[0].id, "faces"): Features(values, first.times, first.valid),
        (CLIPS[1].id, "faces"): none,
    }


def test_face_crops_are_bgr_of_the_frames_with_a_face(faced, tmp_path):
    lines = export("mertools", faced, tmp_path / "out", {"faces": "true", "features": "videomae"}, MediaFrameReader())
    assert "openface_face: 1 clip; no face: clip_1_Test_2" in lines
    assert [p.name for p in (tmp_path / "out/openface_face").iterdir()] == ["clip_2_Cooking_1"]
    faces = np.load(tmp_path / "out/openface_face/clip_2_Cooking_1/clip_2_Cooking_1.npy")
    assert (faces.dtype, faces.shape) == (np.uint8, (8, 112, 112, 3))  # frames 3 and 8 of 10 have no face
    means = faces.mean(axis=(1, 2))
    assert (means[:4, 0] > 150).all()
    assert (means[:4, 2] < 40).all()
    assert (means[4:, 2] > 150).all()
    assert (means[4:, 0] < 40).all()
