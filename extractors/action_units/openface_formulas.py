"""OpenFace 2.2's columns, computed from py-feat's network. Formulas, signs and how they were checked: docs.

The camera frame is OpenFace's: x right in the frame, y down, z away from the camera, in millimetres. The pinhole
camera is OpenFace's default. Landmarks come from the MediaPipe mesh of 478 points; their depth is the network's own
relative depth, scaled by one assumed length. Baltrusaitis et al., "OpenFace 2.0: Facial Behavior Analysis Toolkit",
IEEE FG 2018. `docs/openface_columns.md` has the whole story.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from storage.vocabulary.openface_columns import INTENSITY_AUS, PRESENCE_AUS

Array = npt.NDArray[np.floating[Any]]

FEAT_AUS = tuple(f"AU{n:02d}" for n in (1, 2, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15, 17, 20, 23, 24, 25, 26, 28, 43))
STAND_IN = {"AU45": "AU43"}  # a blink is short closed eyes; py-feat has no AU45 of its own

OUTER_CORNERS = (33, 263)
OUTER_CORNERS_MM = 93.0
PUPIL_RADIUS = 0.44  # of the iris's; the mesh has no pupil

# Eyelid points 8..19 of each OpenFace eye, from the corner at the frame's left over the upper lid; two mesh points
# stand for the point half way between them.
_LIDS = (
    ((33,), (246, 161), (160,), (159,), (158,), (157, 173), (133,), (155, 154), (153,), (145,), (144,), (163, 7)),
    ((362,), (398, 384), (385,), (386,), (387,), (388, 466), (263,), (249, 390), (373,), (374,), (380,), (381, 382)),
)
_IRISES = (468, 473)  # the centre; the next four are the ring's right, top, left and bottom in the frame


def openface_values(*, mesh: Array, sizes: Array, pose: Array, gaze: Array, aus: Array, face: Sequence[int]) -> Array:
    """The columns `storage.vocabulary.openface_columns.OPENFACE_COLUMNS` of N faces.

    Args:
        mesh: (N, 478, 3) x and y in pixels of the frame, z in pixels with smaller values nearer to the camera.
        sizes: (N, 2) width and height of the frames in pixels.
        pose: (N, 6) the network's head pose; the first three are a rotation vector in the camera frame, radians.
        gaze: (N, 2) the network's yaw (positive towards the frame's left) and pitch (positive down), radians.
        aus: (N, 20) probabilities of `FEAT_AUS`.
        face: 68 mesh indices: the points of the 68-point scheme.

    Returns:
        (N, 669).
    """
    landmarks, eyes = mesh[:, list(face)], _EYES @ mesh
    space = _Space(mesh, sizes)
    landmarks_mm = space.points(landmarks)
    return np.concatenate(
        [
            gaze_columns(gaze),
            _flat(eyes[..., :2]),
            _flat(space.points(eyes)),
            landmarks_mm.mean(axis=1),
            euler_angles(pose[:, :3]),
            _flat(landmarks[..., :2]),
            _flat(landmarks_mm),
            au_columns(aus),
        ],
        axis=1,
    )


def gaze_columns(gaze: Array) -> Array:
    """(N, 8) unit vector of each eye and the gaze angles; py-feat has one gaze, so both eyes get it.

    Args:
        gaze: (N, 2) yaw (positive towards the frame's left) and pitch (positive down), radians.
    """
    yaw, pitch = gaze.T
    x, y, z = -np.sin(yaw) * np.cos(pitch), np.sin(pitch), -np.cos(yaw) * np.cos(pitch)
    return np.stack([x, y, z, x, y, z, np.arctan2(x, -z), np.arctan2(y, -z)], axis=1)


def euler_angles(rotation: Array) -> Array:
    """(N, 3) angles about x, y and z in radians such that R = Rx Ry Rz, as OpenFace reports head rotation.

    Positive is: looking down, turning to the person's right (the frame's left), tilting clockwise in the frame.

    Args:
        rotation: (N, 3) rotation vectors, radians.
    """
    half = np.linalg.norm(rotation, axis=1) / 2
    w = np.cos(half)
    x, y, z = (rotation * (np.sinc(half / np.pi) / 2)[:, None]).T  # the rotation as the unit quaternion (w, x, y, z)
    about_x = np.arctan2(2 * (w * x - y * z), w * w - x * x - y * y + z * z)
    about_y = np.arcsin(np.clip(2 * (w * y + x * z), -1, 1))
    about_z = np.arctan2(2 * (w * z - x * y), w * w + x * x - y * y - z * z)
    return np.stack([about_x, about_y, about_z], axis=1)


def au_columns(aus: Array) -> Array:
    """(N, 35) `_r` = 5 times the probability, `_c` = 1 from a probability of 0.5; AU45 stands on py-feat's AU43.

    Args:
        aus: (N, 20) probabilities of `FEAT_AUS`.
    """
    at = {au: i for i, au in enumerate(FEAT_AUS)}
    intensity = aus[:, [at[STAND_IN.get(au, au)] for au in INTENSITY_AUS]]
    presence = aus[:, [at[STAND_IN.get(au, au)] for au in PRESENCE_AUS]]
    return np.concatenate([5 * intensity, presence >= 0.5], axis=1)


def focal_length(sizes: Array) -> Array:
    """(N,) OpenFace's default focal length in pixels, used for both axes; the centre is the frame's.

    Args:
        sizes: (N, 2) width and height of the frames in pixels.
    """
    return (500 * sizes[:, 0] / 640 + 500 * sizes[:, 1] / 480) / 2


class _Space:
    """From pixels and relative depth to millimetres before the camera, for N faces."""

    def __init__(self, mesh: Array, sizes: Array) -> None:
        self._centre = sizes[:, None] / 2
        self._focal = focal_length(sizes)[:, None]
        self._scale = np.ones((len(mesh), 1, 1))
        corners = self.points(mesh[:, OUTER_CORNERS])
        distances = np.linalg.norm(corners[:, 0] - corners[:, 1], axis=1)
        self._scale = (OUTER_CORNERS_MM / np.maximum(distances, 1.0))[:, None, None]  # under a pixel: no face at all

    def points(self, pixels: Array) -> Array:
        """(N, P, 3) mm whose projection is exactly the x and y of `pixels` (N, P, 3)."""
        depth = (self._focal + pixels[..., 2])[..., None]
        across = (pixels[..., :2] - self._centre) * depth / self._focal[..., None]
        return np.concatenate([across, depth], axis=2) * self._scale


def _flat(points: Array) -> Array:
    """(N, P, 2 or 3) to (N, ...): all x, then all y, then all z."""
    return points.transpose(0, 2, 1).reshape(len(points), -1)


def _eye_points() -> Array:
    """(56, 478) weights that make OpenFace's eye points from the mesh: per eye 8 iris, 12 lid and 8 pupil points."""
    mesh = np.eye(478)
    eyes = []
    for centre, lids in zip(_IRISES, _LIDS, strict=True):
        right, top, left, bottom = (mesh[centre + i] - mesh[centre] for i in (1, 2, 3, 4))
        quarters = [left, top, right, bottom]
        ring: list[Any] = []
        for here, following in zip(quarters, [*quarters[1:], left], strict=True):
            ring += [here, (here + following) / np.sqrt(2)]
        pupil = [PUPIL_RADIUS * ring[i] for i in (7, 6, 5, 4, 3, 2, 1, 0)]  # runs the other way round
        eyes += [mesh[centre] + p for p in ring]
        eyes += [mesh[list(points)].mean(axis=0) for points in lids]
        eyes += [mesh[centre] + p for p in pupil]
    return np.array(eyes)


_EYES = _eye_points()
