"""The square around a face, against py-feat's."""

from __future__ import annotations

import numpy as np
import pytest

from extractors.core.media.crops import crop_face
from extractors.core.networks.pyfeat import feat_module
from tests.scenes import decoded


@pytest.mark.parametrize(
    "box",
    [
        (40, 30, 90, 110),
        (-20, -10, 60, 40),
        (100.5, 50.25, 170.75, 140.0),
        (3, 3, 3, 3),
        (60, 50, 63, 54),
        (-90, 0, 250, 119),
    ],
)
def test_crops_are_where_py_feat_crops(box):
    import torch

    rgb = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    frame = torch.from_numpy(rgb).permute(2, 0, 1)[None].float()
    crop = feat_module("utils.image_operations").extract_face_square_pad_torch
    theirs, _ = crop(frame, torch.tensor([box], dtype=torch.float32), 64, 1.2)
    ours = crop_face(rgb, np.array(box, np.float32), size=64, expand=1.2)
    assert ours.shape == (64, 64, 3)
    assert ours.dtype == np.uint8
    assert np.abs(ours - theirs[0].permute(1, 2, 0).numpy()).max() < 0.52


@pytest.mark.parametrize("crop", [None, (0.1, 0.2, 0.85, 0.9)])
def test_the_full_size_is_that_of_the_upright_cropped_frame(feat_clips, crop):
    frame = next(decoded(feat_clips / "single_face.mp4", end=0.1, crop=crop).frames())
    assert frame.size == frame.rgb().shape[1::-1]
