"""Columns of OpenFace 2.2's CSV files: names in its order, units, and its blocks.

Baltrusaitis et al., "OpenFace 2.0: Facial Behavior Analysis Toolkit", IEEE FG 2018. A column says nothing about the
engine that filled it: `docs/openface_columns.md` says what py-feat's numbers mean under these names.
"""

from __future__ import annotations

INTENSITY_AUS = tuple(f"AU{n:02d}" for n in (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45))
PRESENCE_AUS = (*INTENSITY_AUS[:-1], "AU28", "AU45")


def _points(stem: str, axes: str, count: int) -> tuple[str, ...]:
    return tuple(f"{stem}{axis}_{i}" for axis in axes for i in range(count))


_GAZE_VECTORS = tuple(f"gaze_{eye}_{axis}" for eye in "01" for axis in "xyz")
_GAZE_ANGLES = ("gaze_angle_x", "gaze_angle_y")
_EYES_PX, _EYES_MM = _points("eye_lmk_", "xy", 56), _points("eye_lmk_", "XYZ", 56)
_POSE_MM, _POSE_RAD = (tuple(f"pose_{kind}{axis}" for axis in "xyz") for kind in "TR")
_LANDMARKS_PX, _LANDMARKS_MM = _points("", "xy", 68), _points("", "XYZ", 68)
_INTENSITIES = tuple(f"{au}_r" for au in INTENSITY_AUS)
_PRESENCES = tuple(f"{au}_c" for au in PRESENCE_AUS)

SHAPE_MODEL_UNITS = {"p_scale": "", **dict.fromkeys(("p_rx", "p_ry", "p_rz"), "rad"), "p_tx": "px", "p_ty": "px"}
SHAPE_MODEL_UNITS |= {f"p_{i}": "" for i in range(34)}
"""OpenFace's own name for them: the point distribution model's rigid and non-rigid parameters; with their units."""

_BLOCKS = (
    (_GAZE_VECTORS, ""),
    (_GAZE_ANGLES, "rad"),
    (_EYES_PX, "px"),
    (_EYES_MM, "mm"),
    (_POSE_MM, "mm"),
    (_POSE_RAD, "rad"),
    (_LANDMARKS_PX, "px"),
    (_LANDMARKS_MM, "mm"),
    (_INTENSITIES, "0..5"),
    (_PRESENCES, "0/1"),
)
OPENFACE_COLUMNS = tuple(name for names, _ in _BLOCKS for name in names)
"""The 669 columns of all blocks but the shape model's."""
OPENFACE_UNITS = tuple(unit for names, unit in _BLOCKS for _ in names)

GAZE = (*_GAZE_VECTORS, *_GAZE_ANGLES, *_EYES_PX, *_EYES_MM)
POSE = (*_POSE_MM, *_POSE_RAD)
LANDMARKS = (*_LANDMARKS_PX, *_LANDMARKS_MM)
SHAPE_MODEL = tuple(SHAPE_MODEL_UNITS)
ALL_BLOCKS = (*GAZE, *POSE, *LANDMARKS, *SHAPE_MODEL, *_INTENSITIES, *_PRESENCES)
"""All 709 columns after the leading ones."""
OPENFACE_PRESETS = {
    "openface-35": (*_INTENSITIES, *_PRESENCES),
    "openface-669": OPENFACE_COLUMNS,
    "openface-709": ALL_BLOCKS,
}
"""Usual choices of them, by name."""
