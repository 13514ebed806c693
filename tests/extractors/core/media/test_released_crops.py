"""Face crops that a corpus releases: whose times they have, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from configs.errors import ConfigError, RunError
from configs.schema import RunConfig, parse
from configs.sections import FaceCrops
from extractors.core.media.clip_media import Media
from extractors.core.media.released_crops import ReleasedCrops
from flows.plan import build_extractors, ordered_extractors
from storage.clip import Clip
from storage.errors import ClipError
from tests.extractors.frame_clips import built, media_of

RANDOM = {"random": {"seed": 0, "size": "tiny"}}


def saved(root, name, pixels):
    (root / name).mkdir(parents=True, exist_ok=True)
    np.save(root / name / f"{name}.npy", pixels)


def pixels(count):
    return np.arange(count * 12, dtype=np.uint8).reshape(count, 2, 2, 3) + 1


def without_video(name="a", **clip):
    return Media(Clip(name, **clip), None)


def test_crops_have_the_times_of_the_videos_frames(tmp_path):
    media = media_of(tmp_path, 10)
    saved(tmp_path / "faces", "a", pixels(10))
    crops = ReleasedCrops(media, FaceCrops(root=tmp_path / "faces"))
    np.testing.assert_array_equal(crops.frame_times(), media.frame_times())
    assert [crop.rgb().tolist() for crop in crops.frames()] == pixels(10)[:, :, :, ::-1].tolist()
    saved(tmp_path / "faces", "a", pixels(9))  # a last frame that OpenCV did not give
    np.testing.assert_array_equal(
        ReleasedCrops(media, FaceCrops(root=tmp_path / "faces")).frame_times(), media.frame_times()[:9]
    )


def test_without_a_video_a_rate_must_be_stated(tmp_path):
    saved(tmp_path, "a", pixels(3))
    with pytest.raises(ClipError, match="no video that says when its crops are shown; state `frame_rate:`") as error:
        ReleasedCrops(without_video(), FaceCrops(root=tmp_path))
    assert error.value.reason == "no_rate"
    crops = ReleasedCrops(without_video(), FaceCrops(root=tmp_path, frame_rate=25))
    assert crops.frame_times().tolist() == [[0, 0.04], [0.04, 0.08], [0.08, 0.12]]


def test_the_corpuss_own_name_is_looked_for_too(tmp_path):
    saved(tmp_path, "sample 1", pixels(1))
    crops = ReleasedCrops(without_video("sample_1", source_id="sample 1"), FaceCrops(root=tmp_path, frame_rate=1))
    assert len(crops.frame_times()) == 1


@pytest.mark.parametrize("kind", ["bmp", "png"])
def test_folders_of_openface_images_are_placed_by_their_numbers(tmp_path, kind):
    media = media_of(tmp_path, 6)
    folder = tmp_path / "faces" / "a_aligned"
    folder.mkdir(parents=True)
    for number in (1, 2, 5):
        Image.new("RGB", (4, 4), (number, 0, 9)).save(folder / f"frame_det_00_{number:06d}.{kind}")
    crops = ReleasedCrops(media, FaceCrops(root=tmp_path / "faces"))
    np.testing.assert_array_equal(crops.frame_times(), media.frame_times()[[0, 1, 4]])
    assert [crop.rgb()[0, 0].tolist() for crop in crops.frames()] == [[1, 0, 9], [2, 0, 9], [5, 0, 9]]


def test_black_crops_are_no_face(tmp_path):
    black = pixels(3)
    black[1] = 0
    saved(tmp_path, "a", black)
    assert ReleasedCrops(without_video(), FaceCrops(root=tmp_path, frame_rate=1)).shown.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(0), r"expected \(T, H, W, 3\) uint8, got \(0,\) float64"),
        (np.zeros((4, 2, 2, 3), np.float32), r"expected \(T, H, W, 3\) uint8, got \(4, 2, 2, 3\) float32"),
        (np.zeros((4, 2, 2), np.uint8), r"expected \(T, H, W, 3\) uint8"),
        (np.zeros((0, 2, 2, 3), np.uint8), "holds no crop"),
        (pixels(11), "11 crops up to frame 11, but the video has 10 frames"),
        (pixels(7), "7 crops up to frame 7, but the video has 10 frames"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, array, message):
    saved(tmp_path / "faces", "a", array)
    with pytest.raises(ClipError, match=message) as error:
        ReleasedCrops(media_of(tmp_path, 10), FaceCrops(root=tmp_path / "faces"))
    assert error.value.reason == "bad_crops"


def test_missing_and_damaged_crops_have_a_reason(tmp_path):
    with pytest.raises(ClipError, match="no crops of a") as error:
        ReleasedCrops(without_video(), FaceCrops(root=tmp_path, frame_rate=1))
    assert error.value.reason == "bad_crops"
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "a.npy").write_bytes(b"nothing")
    with pytest.raises(ClipError, match=r"a\.npy: cannot be read") as error:
        ReleasedCrops(without_video(), FaceCrops(root=tmp_path, frame_rate=1))
    assert error.value.reason == "bad_crops"


def test_each_folder_of_crops_has_its_own_black_ones(tmp_path):
    for root, black in (("one", 0), ("other", 2)):
        shown = pixels(3)
        shown[black] = 0
        saved(tmp_path / root, "a", shown)
    media = without_video()
    found = {
        root: built("image", {"crops": {"root": str(tmp_path / root), "frame_rate": 1}}).boxes(media)
        for root in ("one", "other")
    }
    assert np.isnan(found["one"][:, 0]).tolist() == [True, False, False]
    assert np.isnan(found["other"][:, 0]).tolist() == [False, False, True]


def test_one_line_gives_the_crops_to_every_network_on_faces(tmp_path):
    values = {
        "faces": {"source": "mertools", "root": str(tmp_path)},
        "extractors": [{"name": name, "weights": RANDOM} for name in ("image", "mae", "videomae")],
    }
    extractors = ordered_extractors(parse(RunConfig, values, "c"))
    assert [extractor.name for extractor in extractors] == ["image", "mae", "videomae"]  # no detector runs
    assert all(extractor.options.crops.root == tmp_path for extractor in extractors)
    with pytest.raises(RunError, match="what needs boxes cannot be extracted"):
        build_extractors(parse(RunConfig, values | {"extractors": [{"name": "quality"}]}, "c"))
    with pytest.raises(ConfigError, match="source: mertools and root: FOLDER belong together"):
        parse(RunConfig, values | {"faces": {"source": "mertools"}}, "c")
