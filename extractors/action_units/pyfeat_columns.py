"""py-feat's own columns: names, units, and values from the network's outputs. Meanings: `docs/openface_columns.md`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from extractors.action_units.face_crops import Float32
from extractors.action_units.openface_formulas import FEAT_AUS


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


EMOTIONS = ("Neutral", "Happy", "Sad", "Surprise", "Fear", "Disgust", "Anger")
BLENDSHAPES = _words(
    """_neutral browDownLeft browDownRight browInnerUp browOuterUpLeft browOuterUpRight cheekPuff cheekSquintLeft
    cheekSquintRight eyeBlinkLeft eyeBlinkRight eyeLookDownLeft eyeLookDownRight eyeLookInLeft eyeLookInRight
    eyeLookOutLeft eyeLookOutRight eyeLookUpLeft eyeLookUpRight eyeSquintLeft eyeSquintRight eyeWideLeft eyeWideRight
    jawForward jawLeft jawOpen jawRight mouthClose mouthDimpleLeft mouthDimpleRight mouthFrownLeft mouthFrownRight
    mouthFunnel mouthLeft mouthLowerDownLeft mouthLowerDownRight mouthPressLeft mouthPressRight mouthPucker mouthRight
    mouthRollLower mouthRollUpper mouthShrugLower mouthShrugUpper mouthSmileLeft mouthSmileRight mouthStretchLeft
    mouthStretchRight mouthUpperUpLeft mouthUpperUpRight noseSneerLeft noseSneerRight"""
)
_FEAT_BLOCKS: tuple[tuple[tuple[str, ...], str], ...] = (
    (FEAT_AUS, "0..1"),
    (EMOTIONS, "0..1"),
    (("valence", "arousal"), "-1..1"),
    (("gaze_pitch", "gaze_yaw"), "rad"),
    (("Pitch", "Roll", "Yaw"), "rad"),
    (("X", "Y", "Z"), ""),
    (tuple(f"mesh_{axis}_{i}" for axis in "xy" for i in range(478)), "px"),
    (tuple(f"mesh_z_{i}" for i in range(478)), "crop side"),
    (BLENDSHAPES, "0..1"),
)
FEAT_COLUMNS = tuple(f"feat_{name}" for names, _ in _FEAT_BLOCKS for name in names)
FEAT_UNITS = tuple(unit for names, unit in _FEAT_BLOCKS for _ in names)


def feat_values(heads: Mapping[str, Float32], mesh: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The columns `FEAT_COLUMNS` of N faces, with the signs that py-feat's Detectorv2 gives them.

    Args:
        heads: The network's outputs by name, as `split_heads` gives them.
        mesh: (N, 478, 3) x and y in pixels of the frame; z is taken from the network as it is.

    Returns:
        (N, 1523) float64.
    """
    gaze, pose = heads["gaze"], heads["pose"]
    turns = [-gaze[:, 1], gaze[:, 0], -pose[:, 0], -pose[:, 2], pose[:, 1]]
    axes = [mesh[..., 0], mesh[..., 1], heads["mesh"][..., 2]]
    blocks = [heads["p_au"], heads["emotion"], heads["va"], np.stack(turns, axis=1), pose[:, 3:], *axes]
    return np.concatenate([*blocks, heads["blendshapes"]], axis=1)
