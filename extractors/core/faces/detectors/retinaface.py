"""RetinaFace as py-feat runs it (ResNet-34), for boxes equal to those of py-feat's Detectorv2.

Deng et al., "RetinaFace: Single-shot Multi-level Face Localisation in the Wild", CVPR 2020. On a CPU it takes some ten
times as long as libfacedetection.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import metadata

import numpy as np
import numpy.typing as npt

from configs.errors import RunError
from configs.sections import Faces
from configs.weights import Weights
from extractors.core.faces.detector import Detect, Detection, Detector, detector_weights
from extractors.core.networks.pyfeat import feat_module
from extractors.core.networks.runtime import choose_device, prepare
from extractors.core.networks.weights import resolve


class Retinaface(Detector):
    """py-feat's own RetinaFace, on the GPU if there is one."""

    name = "retinaface"
    default_weights = Weights(hub="py-feat/retinaface_r34")
    licence = "py-feat's RetinaFace: MIT by its model card; trained on WIDER FACE (non-commercial terms)"

    def version(self) -> str:
        """Version of py-feat, whose network, anchors and non-maximum suppression these are."""
        return f"RetinaFace of py-feat {metadata.version('py-feat')}"

    def build(self, options: Faces) -> Detect:
        """Load the network as py-feat's own `Retinaface` does, but from merflow's cache.

        Raises:
            RunError: If the weights are not on this machine, are damaged or do not fit.
        """
        return _load(options)


@lru_cache(maxsize=1)
def _load(options: Faces) -> Detect:
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    weights = resolve(detector_weights(options) or Retinaface.default_weights, needs=())
    file = str(weights.identity["file"])
    folder = weights.folder
    if folder is None or not file.endswith(".safetensors"):
        raise RunError(f"faces: detector retinaface: expected model.safetensors, got {file}")
    device = choose_device()
    wrapper = feat_module("face_detectors.Retinaface.Retinaface_test")
    with torch.no_grad():  # its constructor turns gradients off for the whole process; leaving the block undoes that
        finder = wrapper.Retinaface(device, detection_threshold=options.min_confidence, pretrained="none")
    try:
        finder.net.load_state_dict(load_file(str(folder / file)), strict=True)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise RunError(f"{file}: not py-feat's RetinaFace: {' '.join(str(error).split())[:300]}") from error
    finder.net = prepare(finder.net, device)

    def detect(rgb: npt.NDArray[np.uint8]) -> list[Detection]:
        pixels = torch.from_numpy(rgb).permute(2, 0, 1)[None].to(device)
        return [(x1, y1, x2, y2, score) for x1, y1, x2, y2, score in finder(pixels.float())[0]]

    return detect
