"""Action units: parity with py-feat whatever the batches, failures, memory, precision, compiling."""

from __future__ import annotations

import logging
import shutil
import weakref

import numpy as np
import pytest

from configs.errors import ConfigError, RunError
from configs.sections import Faces
from configs.weights import Weights
from extractors import action_units
from extractors.action_units.face_crops import cut_face, face_square
from extractors.action_units.network import HEADS, FaceNetwork, split_heads
from extractors.action_units.pyfeat_columns import FEAT_COLUMNS
from extractors.core.faces.main_face import find_main_face
from extractors.core.media.clip_media import Media
from extractors.core.networks.pyfeat import feat_module, find_weights, load_network
from storage.clip import Clip
from storage.errors import ClipError
from storage.records import Failure
from storage.vocabulary.openface_columns import OPENFACE_COLUMNS
from tests.extractors.faces_first import build_alone, with_faces

TINY = {"random": {"seed": 0, "size": "tiny"}}
CENTER = Faces(detector="center")
PRESENCE = np.char.startswith(OPENFACE_COLUMNS + FEAT_COLUMNS, "AU") & np.char.endswith(
    OPENFACE_COLUMNS + FEAT_COLUMNS, "_c"
)


def _extractor(weights=None, faces=None, **options):
    return build_alone("action_units", "au", {"weights": weights or TINY, **options}, faces or Faces())


def _media(folder, name, **clip) -> Media:
    media = Media(Clip("clip", video=name, **clip), folder, audio=False)
    media.decode()
    return media


def _short(feat_clips) -> list[Media]:
    return [_media(feat_clips, "WolfgangLanger_Pexels.mp4", end=end) for end in (0.35, 0.2)]


def _assert_same(found, expected):
    """Equal to 1e-5; presence is a threshold, which rounding may cross."""
    np.testing.assert_array_equal(found.valid, expected.valid)
    np.testing.assert_array_equal(found.times, expected.times)
    np.testing.assert_allclose(found.values[:, ~PRESENCE], expected.values[:, ~PRESENCE], rtol=1e-5, atol=1e-5)


def _batch_sizes(made, monkeypatch, room=1000) -> list[int]:
    """Sizes of the network's passes from now on; one of more than `room` faces runs out of memory."""
    import torch

    inner, sizes = made._network._model, []

    def model(pixels):
        sizes.append(len(pixels))
        if len(pixels) > room:
            raise torch.OutOfMemoryError("no room")
        return inner(pixels)

    monkeypatch.setattr(made._network, "_model", model)
    return sizes


@pytest.fixture(scope="module")
def extractor():
    made = _extractor()
    made.load("cpu")
    return made


@pytest.fixture(scope="module")
def media(feat_clips) -> Media:
    return _media(feat_clips, "single_face.mp4", end=0.5)


@pytest.fixture(scope="module")
def features(extractor, media):
    [features] = extractor.extract([media])
    return features


def test_equals_py_feat_given_the_same_boxes(features, extractor, media):
    """py-feat's Detectorv2 without its face detector, whose weights are not here; batch 1 and contiguous, as stock."""
    import torch

    stock = object.__new__(feat_module("detector_v2").Detectorv2)
    torch.nn.Module.__init__(stock)
    stock.device, stock.face_size, stock.identity_detector = torch.device("cpu"), 256, None
    stock.multitask = load_network(find_weights(Weights(**TINY)), "cpu")
    stock._idx68 = torch.tensor(extractor._points68)
    columns = dict(zip(extractor.spec.columns, features.values.T, strict=True))
    boxes = find_main_face(media, Faces()).boxes
    zero = torch.zeros(1, dtype=torch.float64)
    for frame in list(media.frames())[::4]:
        images = torch.from_numpy(frame.rgb()).permute(2, 0, 1)[None]
        faces = stock.crop_faces_from_boxes(images, torch.from_numpy(boxes[frame.index]))
        padding = {"Left": zero, "Top": zero, "Right": zero, "Bottom": zero}
        fex = stock.forward(faces, {"Image": images, "Padding": padding, "Scale": zero + 1})
        theirs = fex[[name.removeprefix("feat_") for name in FEAT_COLUMNS]].to_numpy()[0]
        ours = np.array([columns[name][frame.index] for name in FEAT_COLUMNS])
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
        landmarks = [f"{axis}_{i}" for axis in "xy" for i in range(68)]
        ours = [columns[name][frame.index] for name in landmarks]
        np.testing.assert_allclose(ours, fex[landmarks].to_numpy()[0], rtol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 5, 32])
def test_batch_size_changes_nothing(features, media, batch_size):
    other = _extractor(batch_size=batch_size)
    other.load("cpu")
    [found] = other.extract([media])
    _assert_same(found, features)
    assert other.spec.digest == _extractor().spec.digest


def test_batches_run_over_clips_in_any_order_and_give_the_same(extractor, features, media, feat_clips, monkeypatch):
    """Clips of 15, 0, 9 and 5 faces, in batches of 4."""
    clips = [media, _media(feat_clips, "no_face.mp4", end=0.4), *_short(feat_clips)]
    alone = [extractor.extract([clip])[0] for clip in clips]
    sizes = _batch_sizes(extractor, monkeypatch)
    together = extractor.extract(clips)
    assert sizes == [4] * (sum(sizes) // 4) + [sum(sizes) % 4] * (sum(sizes) % 4 > 0)
    assert sum(sizes) == sum(int(found.valid.sum()) for found in alone)
    backwards = extractor.extract(clips[::-1])[::-1]
    for one, other, turned in zip(alone, together, backwards, strict=True):
        _assert_same(other, one)
        _assert_same(turned, one)
    np.testing.assert_array_equal(alone[0].values, features.values)


def test_a_clip_that_fails_takes_no_other_with_it(extractor, features, media, feat_clips):
    """One has no file, one breaks off in the middle of a batch."""
    broken, other = _short(feat_clips)
    with_faces(broken)
    frames = list(broken.frames())

    def breaks_off():
        yield from frames[:3]
        raise ClipError("undecodable", "broken on purpose", stage="decode")

    broken.frames = breaks_off
    missing = _media(feat_clips, "missing.mp4")
    found = extractor.extract([missing, broken, media, missing, other])
    assert [f.reason for f in found if isinstance(f, Failure)] == ["missing_file", "undecodable", "missing_file"]
    _assert_same(found[2], features)
    _assert_same(found[4], extractor.extract([other])[0])
    assert extractor.extract([]) == []


def test_two_batches_of_faces_are_held_and_no_more(extractor, media, monkeypatch):
    cut: list[weakref.ref[np.ndarray]] = []
    held = []

    def watched(rgb, square):
        pixels = cut_face(rgb, square)
        held.append(sum(ref() is not None for ref in cut))
        cut.append(weakref.ref(pixels))
        return pixels

    monkeypatch.setattr(action_units, "cut_face", watched)
    extractor.extract([media, media])
    assert len(held) > 16
    assert max(held) <= 2 * extractor._network.batch_size


def test_too_little_memory_halves_the_batch_and_stays_so(features, media, monkeypatch):
    made = _extractor(batch_size=8)
    made.load("cpu")
    sizes = _batch_sizes(made, monkeypatch, room=3)
    [found] = made.extract([media])
    _assert_same(found, features)
    assert made._batcher.budget == 2
    assert sizes[:3] == [8, 4, 2]
    assert max(sizes[3:]) == 2


def test_no_memory_at_all_is_the_clips_failure(media, feat_clips, monkeypatch):
    made = _extractor()
    made.load("cpu")
    sizes = _batch_sizes(made, monkeypatch, room=0)
    with_face, without = made.extract([media, _media(feat_clips, "no_face.mp4", end=0.4)])
    assert with_face.reason == "out_of_memory"
    assert not without.valid.any()
    assert len(sizes) <= 6 * int(find_main_face(media, Faces()).valid.sum())


def test_rows_are_the_frames_with_a_face(extractor, feat_clips):
    media = _media(feat_clips, "face_noface.mov", start=2.2, end=2.8)
    [found] = extractor.extract([media])
    np.testing.assert_array_equal(found.valid, find_main_face(media, Faces()).valid)
    assert found.valid.any()
    assert not found.valid.all()
    np.testing.assert_array_equal(found.times, media.frame_times())


def test_no_face_is_nan_and_masked(extractor, feat_clips):
    [found] = extractor.extract([_media(feat_clips, "no_face.mp4", end=1.0)])
    assert found.values.shape == (len(found.times), 2192)
    assert np.isnan(found.values).all()
    assert not found.valid.any()


def test_the_spec_needs_no_weights_loaded_and_says_that_they_are_random():
    full = _extractor({"random": {"seed": 1}}).spec
    assert full.synthetic
    assert full.weights == {"kind": "random", "seed": 1, "size": "full"}
    assert full.source.startswith("py-feat ")
    assert full.hop is None


def test_the_face_stage_is_in_the_digest():
    digests = {_extractor(faces=f).spec.digest for f in (Faces(), Faces(detect_every=1), CENTER)}
    assert len(digests) == 3


def test_precision_and_compiling_are_in_the_digest():
    specs = [_extractor(**options).spec for options in ({}, {"precision": "bf16"}, {"compile": True})]
    assert len({spec.digest for spec in specs}) == 3
    assert [spec.precision for spec in specs] == ["float32", "bf16", "float32"]
    assert [spec.recipe["compile"] for spec in specs] == [False, False, True]
    with pytest.raises(ConfigError, match="compile: in float32 only"):
        _extractor(precision="bf16", compile=True)


def test_bf16_is_py_feats_own_mixed_precision(extractor, media):
    import torch

    weights = find_weights(Weights(**TINY))
    boxes = find_main_face(media, Faces()).boxes
    faces = [cut_face(f.rgb(), face_square(boxes[f.index])) for f in list(media.frames())[:4]]
    rows = torch.stack(FaceNetwork(weights, "cpu", precision="bf16")(faces)).numpy()
    stock = load_network(weights, "cpu")
    stock.amp, stock.preprocess = True, lambda pixels: (pixels - stock._mean) / stock._std
    stock.model.to(memory_format=torch.channels_last)
    theirs, ours = stock(torch.from_numpy(np.stack(faces))), split_heads(rows)
    for name, mine in {"au": "p_au", "emotion": "emotion", "pose": "pose", "gaze": "gaze", "mesh478": "mesh"}.items():
        np.testing.assert_allclose(ours[mine], getattr(theirs, name), rtol=1e-5, atol=1e-5, err_msg=name)
    exact = split_heads(torch.stack(extractor._network(faces)).numpy())
    assert 0 < np.abs(exact["p_au"] - ours["p_au"]).max() < 0.05


@pytest.mark.timeout(900)  # compiling takes a minute of two idle cores
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.slow
def test_compiling_says_what_it_does_to_the_numbers(features, media, caplog):
    compiled = _extractor(compile=True)
    with caplog.at_level(logging.WARNING):
        compiled.load("cpu")
    assert compiled._network.compile_difference.keys() == HEADS.keys()
    assert max(compiled._network.compile_difference.values()) < 1e-4
    assert "largest differences: p_au" in caplog.text
    [found] = compiled.extract([media])  # 15 faces: the last batch is not full
    np.testing.assert_allclose(found.values[:, ~PRESENCE], features.values[:, ~PRESENCE], rtol=1e-4, atol=1e-4)
    one = compiled._network([np.zeros((3, 224, 224), np.float32)])
    assert [tuple(row.shape) for row in one] == [(1523,)]


def test_compiling_that_changes_numbers_is_refused(extractor, monkeypatch):
    import torch

    inner = extractor._network._model

    class Skewed(torch.nn.Module):
        def forward(self, pixels):
            return inner(pixels)

        def __call__(self, pixels):
            out = inner(pixels)
            return out | {"gaze": out["gaze"] + 2e-4}

    monkeypatch.setattr(extractor._network, "_model", Skewed())
    with pytest.raises(RunError, match=r"compile: .* by more than 0\.0001: .*gaze 2\.0e-04"):
        extractor._network._compare()


@pytest.mark.weights
def test_action_units_of_a_smile(feat_clips):
    """The man looks neutral for the first half second and smiles from the second one on."""
    trained = build_alone("action_units", "au", {})
    try:
        columns = trained.spec.columns
    except RunError as error:
        pytest.skip(str(error))
    trained.load("cpu")
    [found] = trained.extract([_media(feat_clips, "single_face.mp4")])
    column = {name: found.values[:, columns.index(name)] for name in ("AU12_r", "AU06_r", "feat_Happy", "pose_Tz")}
    smiles = found.times[:, 0] >= 1.2
    for name, rise in {"AU12_r": 1.5, "AU06_r": 0.5, "feat_Happy": 0.4}.items():
        assert column[name][smiles].mean() > column[name][:10].mean() + rise
    assert (column["pose_Tz"] > 200).all()
