"""From frames to a network's input: sizes, cuts and scales, each as the scripts that it re-enacts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
Pixels = npt.NDArray[np.uint8]
Preprocessing = Literal["checkpoint", "merr", "resize224_imagenet", "mae"]
MAE_SHARE = 256 / 224  # what MAE's own code scales the short side to, over the side that it then cuts out


@dataclass(frozen=True, slots=True, eq=False)
class Scaling:
    """From pixels to a network's input: `fit` here, the rest on the network's device.

    Attributes:
        fit: From (H, W, 3) RGB to (3, side, side), both uint8.
        factor: What 0..255 is multiplied with.
        mean: What is then subtracted, one number for each of R, G and B.
        deviation: What is then divided by, likewise.
    """

    fit: Callable[[Pixels], Pixels]
    factor: float
    mean: Sequence[float]
    deviation: Sequence[float]

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """(..., 3, H, W) float32 of the same shape in uint8."""
        scaled = pixels.float() * self.factor
        mean, deviation = (scaled.new_tensor(list(v)).view(3, 1, 1) for v in (self.mean, self.deviation))
        return (scaled - mean) / deviation


def resized(rgb: Pixels, side: int, *, bicubic: bool = False) -> Pixels:
    """(3, side, side) of (H, W, 3), as Pillow resizes (smoothed first); the aspect is not kept.

    Args:
        rgb: (H, W, 3) uint8.
        side: Side of the result in pixels.
        bicubic: Bicubic instead of bilinear.
    """
    from PIL import Image

    how = Image.Resampling.BICUBIC if bicubic else Image.Resampling.BILINEAR
    return np.ascontiguousarray(np.asarray(Image.fromarray(rgb).resize((side, side), how)).transpose(2, 0, 1))


def centre_cut(rgb: Pixels, side: int) -> Pixels:
    """(3, side, side) from the middle of (H, W, 3), whose short side was scaled to 256 / 224 of it, bicubic.

    As torchvision's `Resize(256, BICUBIC)` and `CenterCrop(224)` in MAE's own evaluation code.

    Args:
        rgb: (H, W, 3) uint8.
        side: Side of the result in pixels.
    """
    from PIL import Image

    height, width = rgb.shape[:2]
    short = round(side * MAE_SHARE)
    size = (short, int(short * height / width)) if width <= height else (int(short * width / height), short)
    scaled = np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BICUBIC))
    top, left = round((scaled.shape[0] - side) / 2.0), round((scaled.shape[1] - side) / 2.0)
    return np.ascontiguousarray(scaled[top : top + side, left : left + side].transpose(2, 0, 1))


def plain_scaling(name: Preprocessing, side: int) -> Scaling:
    """The scaling `merr`, `resize224_imagenet` or `mae`.

    Args:
        name: Which of them.
        side: Side of the network's input in pixels.
    """
    mean, deviation = ((0.0,) * 3, (1.0,) * 3) if name == "merr" else IMAGENET
    fit = centre_cut if name == "mae" else resized
    return Scaling(lambda rgb: fit(rgb, side), 1 / 255, mean, deviation)


def processor_scaling(processor: Any) -> Scaling:
    """The scaling of one of transformers' image processors."""

    def fit(rgb: Pixels) -> Pixels:
        fitted = processor([rgb], do_rescale=False, do_normalize=False, return_tensors="np")["pixel_values"]
        return np.asarray(fitted, dtype=np.uint8).reshape(3, *fitted.shape[-2:])

    normal = processor.do_normalize
    mean, deviation = (processor.image_mean, processor.image_std) if normal else ((0.0,) * 3, (1.0,) * 3)
    return Scaling(fit, processor.rescale_factor if processor.do_rescale else 1.0, mean, deviation)
