"""Faces cut for the network, against py-feat's own crop of the whole frame and its own scaling."""

from __future__ import annotations

import numpy as np
import pytest

from extractors.action_units.face_crops import CHIP, cut_face, face_square, normalised
from extractors.core.networks.pyfeat import feat_module

SIZES = [(640, 360), (1920, 1080), (97, 33)]  # width, height
BOXES = {  # x1, y1, x2, y2 in parts of the frame
    "inside": (0.41, 0.22, 0.57, 0.61),
    "over_the_left": (-0.12, 0.31, 0.11, 0.72),
    "over_the_top": (0.43, -0.23, 0.61, 0.18),
    "over_the_right": (0.87, 0.35, 1.09, 0.66),
    "over_the_bottom": (0.22, 0.71, 0.37, 1.21),
    "over_a_corner": (0.91, 0.83, 1.13, 1.17),
    "outside": (1.3, 0.4, 1.5, 0.7),
    "huge": (-1.3, -2.1, 2.4, 3.2),
    "tiny": (0.5, 0.5, 0.503, 0.506),
    "no_area": (0.3, 0.6, 0.3, 0.6),
}


def _box(part, width, height) -> np.ndarray:
    return np.array(part, dtype=np.float32) * np.array([width, height] * 2, dtype=np.float32)


def _py_feats(rgb, box):
    import torch

    crop = feat_module("utils.image_operations").extract_face_square_pad_torch
    frame = torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255
    return crop(frame, torch.from_numpy(box)[None], CHIP, 1.2)


@pytest.fixture(scope="module")
def noise() -> dict[tuple[int, int], np.ndarray]:
    """Frames in which every neighbour differs: a sample a hundredth of a pixel off shows."""
    random = np.random.default_rng(0)
    return {size: random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8) for size in SIZES}


@pytest.mark.parametrize("part", BOXES.values(), ids=list(BOXES))
@pytest.mark.parametrize("size", SIZES)
def test_a_chip_is_py_feats(noise, size, part):
    box = _box(part, *size)
    chip, square = _py_feats(noise[size], box)
    ours = cut_face(noise[size], face_square(box), CHIP)
    np.testing.assert_array_equal(face_square(box), square[0].numpy())
    np.testing.assert_allclose(ours, chip[0].numpy(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("part", BOXES.values(), ids=list(BOXES))
def test_the_networks_input_is_py_feats(noise, part):
    network = object.__new__(feat_module("multitask.inference").MultitaskModel)
    inference, size = feat_module("multitask.inference"), SIZES[0]
    torch = inference.torch
    network.device = torch.device("cpu")
    network._mean, network._std = (
        torch.tensor(v).view(3, 1, 1) for v in (inference.IMAGENET_MEAN, inference.IMAGENET_STD)
    )
    box = _box(part, *size)
    theirs = network.preprocess(_py_feats(noise[size], box)[0])
    ours = normalised(cut_face(noise[size], face_square(box))[None])
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=5e-6)  # 1e-6 of the frame, divided by 0.225


def test_only_the_pixels_around_the_face_matter(noise):
    rgb = noise[1920, 1080]
    square = face_square(np.array([900, 400, 1100, 650], dtype=np.float32))
    blackened = rgb.copy()
    blackened[:370] = blackened[680:] = 0
    np.testing.assert_array_equal(cut_face(blackened, square), cut_face(rgb, square))
    blackened[:420] = 0
    assert (cut_face(blackened, square) != cut_face(rgb, square)).any()


def test_a_transposed_frame_gives_the_transposed_face(noise):
    """Rows and columns are treated alike: a turned box on a turned frame is the same face turned."""
    rgb, box = noise[640, 360], np.array([500, 200, 700, 330], dtype=np.float32)
    turned = cut_face(np.ascontiguousarray(rgb.transpose(1, 0, 2)), face_square(box[[1, 0, 3, 2]]))
    np.testing.assert_allclose(turned.transpose(0, 2, 1), cut_face(rgb, face_square(box)), rtol=0, atol=1e-6)
