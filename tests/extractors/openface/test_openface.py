"""OpenFace: its CSV files, its program (a stand-in here), pyfaceau, and its columns against ours."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np
import psutil
import pytest

from configs.errors import ConfigError, RunError
from extractors.action_units import openface_formulas as formulas
from extractors.action_units.openface_formulas import FEAT_AUS
from extractors.core.extractor import build_extractor
from extractors.core.media.clip_media import Media
from extractors.openface.csv_files import read_openface
from extractors.openface.program import clip_file
from storage.clip import Clip
from storage.errors import ClipError
from storage.records import Failure, Features
from storage.vocabulary.openface_columns import OPENFACE_COLUMNS
from tests.media import square, write_clip
from tests.odd_media import with_matrix
from tests.openface import INTENSITIES, command, write_csv

AUS = OPENFACE_COLUMNS[-35:]


def _openface(**options):
    return build_extractor("openface", "openface", options)


def _media(path: Path, **clip) -> Media:
    media = Media(Clip(clip.pop("id", "clip"), video=path.name, **clip), path.parent, audio=False)
    media.decode()
    return media


def _run(media, **options) -> Features | Failure:
    extractor = _openface(**options)
    extractor.load("cpu")
    [found] = extractor.extract([media])
    return found


def _colours(media) -> np.ndarray:
    return np.array([frame.rgb().mean((0, 1)) for frame in media.frames()])


@pytest.fixture(scope="module")
def real(feat_clips) -> Path:
    """A real OpenFace output, older layout: 100 frames, no gaze angles, no eye landmarks."""
    return feat_clips / "OpenFace_Test.csv"


@pytest.fixture(scope="module")
def theirs(real) -> dict[str, np.ndarray]:
    with real.open() as file:
        rows = list(csv.DictReader(file, skipinitialspace=True))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """Twenty-five frames that all differ; number 3 is black, which the stand-in fails on."""
    frames = [square(5 * i) + np.uint8(2 * i) for i in range(25)]
    frames[3] = np.zeros_like(frames[3])
    return write_clip(tmp_path_factory.mktemp("clip") / "a b.mp4", frames=frames, audio=None)


def test_the_reader_gives_a_real_openface_files_numbers(real, theirs):
    columns = [name for name in OPENFACE_COLUMNS if name in theirs]
    rows = read_openface(real, ["confidence", *columns])
    np.testing.assert_array_equal(rows.frames, np.arange(100))
    assert rows.success.all()
    np.testing.assert_array_equal(rows.values, np.stack([theirs[n] for n in ["confidence", *columns]], axis=1))
    with pytest.raises(ClipError, match=r"OpenFace_Test\.csv: no column 'gaze_angle_x'; it has 431 columns"):
        read_openface(real, OPENFACE_COLUMNS)


def test_a_real_file_becomes_a_feature_on_the_clips_own_clock(real, theirs, tmp_path):
    media = _media(write_clip(tmp_path / "a.mp4", seconds=4, audio=None))
    (tmp_path / "clip.csv").write_bytes(real.read_bytes())
    found = _run(media, engine="csv", csv_folder=str(tmp_path), columns="aus", made_by="OpenFace 1.0")
    np.testing.assert_array_equal(found.times, media.frame_times())  # the file's own stamps are 1 ms apart
    np.testing.assert_array_equal(found.values[:, 1:], np.stack([theirs[n] for n in AUS], axis=1, dtype=np.float32))
    spec = _openface(engine="csv", csv_folder=str(tmp_path), columns="aus", made_by="OpenFace 1.0").spec
    assert spec.columns == ("confidence", *AUS)
    assert spec.source == "OpenFace 1.0 (CSV files)"


@pytest.mark.parametrize("layout", ["old", "new", "pyfaceau"])
def test_every_layout_gives_the_same_rows(tmp_path, layout):
    values = np.arange(51).reshape(3, 17) / 10
    rows = read_openface(write_csv(tmp_path / "a.csv", layout, INTENSITIES, values, [1, 0, 1]), INTENSITIES)
    assert rows.frames.tolist() == [0, 1, 2]
    assert rows.success.tolist() == [True, False, True]
    np.testing.assert_array_equal(rows.values, np.where([[True], [False], [True]], values, np.nan))


@pytest.mark.parametrize(("success", "face"), [([1, 1, 1, 0, 1, 1, 1], 1), ([1, 1, 1, 0, 1, 1, 0], 0)])
def test_of_several_faces_the_one_found_most_often_is_taken(tmp_path, success, face):
    faces, frames = [0, 1, 0, 1, 2, 1, 1], [0, 0, 1, 1, 1, 2, 3]
    path = write_csv(tmp_path / "a.csv", "new", ["AU01_r"], [[f] for f in faces], success, faces=faces, frames=frames)
    rows = read_openface(path, ["AU01_r"])
    assert rows.frames.tolist() == ([0, 1, 2, 3] if face else [0, 1])
    assert rows.values[rows.success].tolist() == [[face]] * int(rows.success.sum())


def test_failed_rows_may_hold_anything_and_are_nan(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("frame,timestamp,success,AU01_r\n0,0.0,True,1.5\n1,0.04,False,\n2,0.08,False,nan\n")
    rows = read_openface(path, ["AU01_r"])
    values, valid = rows.over(4, "a.csv")
    np.testing.assert_array_equal(values, np.array([[1.5], [np.nan], [np.nan], [np.nan]], np.float32))
    assert valid.tolist() == [True, False, False, False]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column 'frame'"),
        ("\0\1 not a table", "no column 'frame'"),
        ("frame,timestamp,confidence,success,AU01_r\n", "no rows"),
        ("frame,timestamp,confidence,success,AU01_r,AU01_r\n1,0,1,1,2,2\n", "'AU01_r' appears twice"),
        ("frame,timestamp,confidence,success,AU01_r\n1,0,1,1,2\n2,0.04,1", "line 3 has 3 cells, the header 5"),
        ("frame,timestamp,confidence,success,AU01_r\n1,0,1,1,2\n2,0.04,1,1,x\n", "line 3, column 'AU01_r'.*'x'"),
        ("frame,timestamp,confidence,success,AU01_r\n1,0,1,1,2\n2,,1,1,2\n", "line 3, column 'timestamp'.*''"),
        ("frame,timestamp,confidence,success,AU01_r\n1,0,1,1,2\n2,0.0,1,1,2\n", "'timestamp' does not increase"),
        ("frame,timestamp,confidence,success,AU01_r\n2,0,1,1,2\n1,0.1,1,1,2\n", "'frame' does not increase"),
        ("frame,timestamp,confidence,success,AU01_r\n0,0,1,1,2\n", "'frame': expected whole numbers from 1"),
        ("frame,timestamp,confidence,success,AU01_r\n1.5,0,1,1,2\n", "'frame': expected whole numbers from 1"),
        ("frame,timestamp,confidence,success,AU01_r\n1,nan,1,1,2\n", "'timestamp' does not increase"),
        ("frame,timestamp,confidence,success,AU01_r\n1,0,1,2,2\n", "'success': expected 0, 1, True or False, got '2'"),
        ("frame,timestamp,confidence,success,AU02_r\n1,0,1,1,2\n", "no column 'AU01_r'; it has 5 columns"),
    ],
)
def test_a_damaged_file_is_named_with_its_line_or_column(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ClipError, match=rf"^a\.csv: .*{message}") as error:
        read_openface(tmp_path / "a.csv", ["AU01_r"])
    assert error.value.reason == "bad_csv"


def test_a_file_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ClipError, match="not a readable CSV"):
        read_openface(tmp_path / "a.csv", ["AU01_r"])


def test_a_file_of_other_frames_is_refused(tmp_path):
    rows = read_openface(write_csv(tmp_path / "a.csv", "new", ["AU01_r"], np.ones((100, 1))), ["AU01_r"])
    assert [int(rows.over(count, "a.csv")[1].sum()) for count in (100, 102, 105)] == [100, 100, 100]
    for count in (99, 106):
        with pytest.raises(ClipError, match=rf"100 rows up to frame 100, but the clip has {count} frames"):
            rows.over(count, "a.csv")


def test_csv_files_are_found_by_clip_id_or_by_the_videos_name(clip, tmp_path):
    for name, value in (("one", 1), ("a b", 2)):
        write_csv(tmp_path / f"{name}.csv", "old", AUS, np.full((25, 35), value))
    options = {"engine": "csv", "csv_folder": str(tmp_path), "columns": "aus"}
    assert _run(_media(clip, id="one"), **options).values[0, 1] == 1
    assert _run(_media(clip, id="one"), **options, csv_name="stem").values[0, 1] == 2
    failure = _run(_media(clip, id="two"), **options)
    assert (failure.reason, failure.message) == ("bad_csv", "no two.csv in csv_folder (csv_name: id)")


def test_csv_files_may_lie_in_folders_as_the_videos_do_but_never_twice(clip, tmp_path):
    media = Media(Clip("one", video="sub/a b.mp4"), tmp_path, audio=False)
    for folder in ("sub", "csv/sub"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(clip, tmp_path / "sub" / "a b.mp4")
    media.decode()
    options = {"engine": "csv", "csv_folder": str(tmp_path / "csv"), "columns": "aus", "csv_name": "stem"}
    assert _run(media, **options).message == "no a b.csv or sub/a b.csv in csv_folder (csv_name: stem)"
    write_csv(tmp_path / "csv" / "sub" / "a b.csv", "new", AUS, np.full((25, 35), 3))
    assert _run(media, **options).values[0, 1] == 3
    write_csv(tmp_path / "csv" / "a b.csv", "new", AUS, np.full((25, 35), 4))
    assert _run(media, **options).message == "both a b.csv and sub/a b.csv are in csv_folder (csv_name: stem)"


def test_a_program_sees_the_clips_own_frames(clip):
    """A file, a part of it, and a part of its frames."""
    at = [("confidence", *OPENFACE_COLUMNS).index(f"pose_T{axis}") for axis in "xyz"]
    for part in ({}, {"start": 0.4, "end": 0.8}, {"crop": (0.0, 0.0, 0.5, 1.0)}):
        media = _media(clip, **part)
        found = _run(media, command=command())
        seen = np.ones(len(found.valid), bool)
        if len(seen) == 25:
            seen[3] = False
        np.testing.assert_array_equal(found.valid, seen)
        np.testing.assert_array_equal(found.times, media.frame_times())
        np.testing.assert_allclose(found.values[seen][:, at], _colours(media)[seen], atol=1e-3)


@pytest.mark.parametrize(
    ("part", "size"),
    [
        ({"start": 0.4, "end": 0.8}, (160, 120)),
        ({"crop": (0.1, 0.0, 0.6, 0.9)}, (80, 108)),
        ({"matrix": (0, 1, -1, 0)}, (120, 160)),
        ({"matrix": (-1, 0, 0, 1)}, (160, 120)),  # mirrored
    ],
)
def test_what_is_not_the_file_as_it_is_is_written_losslessly(clip, tmp_path, part, size):
    source = Path(shutil.copy(clip, tmp_path / "source.mp4"))
    if "matrix" in part:
        with_matrix(source, source, part["matrix"])
    media = _media(source, **{name: value for name, value in part.items() if name != "matrix"})
    (tmp_path / "scratch").mkdir()
    with av.open(str(clip_file(media, tmp_path / "scratch"))) as container:
        found = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert container.streams.video[0].average_rate == 25
    np.testing.assert_array_equal(found, [frame.rgb() for frame in media.frames()])
    assert found[0].shape[1::-1] == size


def test_a_whole_file_is_handed_over_as_it_is(clip, tmp_path):
    copy = clip_file(_media(clip), tmp_path)
    assert copy.read_bytes() == clip.read_bytes()
    assert copy.name == "clip.mp4"


def test_a_binary_gets_fixed_arguments_and_is_known_by_its_bytes(clip, tmp_path):
    specs = []
    for i, folder in enumerate(("x", "y", "z")):
        binary = tmp_path / folder / "FeatureExtraction"
        binary.parent.mkdir()
        script = " ".join(f'"{word}"' for word in command()[:3])
        binary.write_text(f'#!/bin/sh\n# build {i // 2}\nexec {script} "$@"\n')
        binary.chmod(0o755)
        specs.append(_openface(binary=str(binary)).spec)
        found = _run(_media(clip), binary=str(binary), columns="aus")
        assert found.values.shape == (25, 36)
    assert specs[0] == specs[1] != specs[2]
    assert str(tmp_path) not in str(specs[0].to_dict())
    assert specs[0].recipe["flags"] == ["-2Dfp", "-3Dfp", "-pose", "-aus", "-gaze"]
    assert specs[0].columns == ("confidence", *OPENFACE_COLUMNS)
    assert len(specs[0].units) == 670
    assert specs[0].source == "OpenFace 2.2"
    shaped = _openface(binary=str(binary), columns="with_shape").spec
    assert len(shaped.columns) == 710
    assert "-pdmparams" in shaped.recipe["flags"]
    assert _run(_media(clip), binary=str(binary), columns="with_shape").values.shape == (25, 710)


@pytest.mark.parametrize(
    ("mode", "reason", "message"),
    [
        ("silent", "program_failed", "OpenFace: exit status 0, no CSV; Could not open the input"),
        ("crash", "program_failed", "OpenFace: exit status 1, no CSV; could not load the landmark detector"),
        ("garbage", "bad_csv", "clip.csv: no column 'frame'; it has 1 columns"),
        ("cut", "bad_csv", "clip.csv: line 26 has 660 cells, the header 674: cut off?"),
        ("half", "bad_csv", "clip.csv: 12 rows up to frame 12, but the clip has 25 frames"),
    ],
)
def test_a_program_that_fails_fails_its_clip_only(clip, tmp_path, monkeypatch, mode, reason, message):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    failure = _run(_media(clip), command=command(mode))
    assert (failure.reason, failure.message) == (reason, message)
    assert list(tmp_path.iterdir()) == []


def _is_running(process: int) -> bool:
    return psutil.pid_exists(process) and psutil.Process(process).status() != psutil.STATUS_ZOMBIE


def test_a_program_that_hangs_is_ended_with_all_that_it_started(clip, tmp_path, monkeypatch):
    monkeypatch.setenv("CHILD_FILE", str(tmp_path / "child"))
    begin = time.monotonic()
    failure = _run(_media(clip), command=command("hang"), time_limit=3)
    assert failure.reason == "program_failed"
    assert "not done after 3 s (time_limit)" in failure.message
    assert time.monotonic() - begin < 15
    child = int((tmp_path / "child").read_text())
    for _ in range(100):
        if not _is_running(child):
            break
        time.sleep(0.05)
    assert not _is_running(child)


def test_a_program_ends_with_the_process_that_started_it_and_leaves_no_folder(tmp_path):
    """Also with one that was killed, and so could not clean up."""
    folder = tmp_path / "merflow-openface-scratch"
    folder.mkdir()
    slow = ["/bin/sh", "-c", "sleep 77 & echo started > started; sleep 78"]
    code = "import sys; from pathlib import Path; from extractors.openface.program import run; "
    code += f"run({slow!r}, Path(sys.argv[1]), 99)"
    worker = subprocess.Popen([sys.executable, "-c", code, folder])
    deadline = time.monotonic() + 30
    while not (folder / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    family = psutil.Process(worker.pid).children(recursive=True)
    assert len(family) >= 3
    worker.kill()
    worker.wait()
    assert psutil.wait_procs(family, timeout=10)[1] == []
    assert not folder.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "no program FeatureExtraction on this machine. OpenFace: build OpenFace 2.2"),
        ({"binary": "/nowhere/FE"}, "no program /nowhere/FE on this machine"),
        ({"command": ["no-docker", "run", "{input}", "{output}"]}, "no program no-docker on this machine"),
        ({"command": [sys.executable, "{input}"]}, r"`command` lacks \{output\}"),
        ({"engine": "pyfaceau"}, "pyfaceau is not installed for .*: install pyfaceau"),
        ({"engine": "pyfaceau", "python": "/nowhere/python"}, "no program /nowhere/python on this machine. pyfaceau"),
        ({"engine": "csv", "csv_folder": "/nowhere"}, "csv_folder /nowhere is not a folder"),
    ],
)
def test_what_is_missing_is_said_before_any_work(monkeypatch, options, message):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    with pytest.raises(RunError, match=message):
        _ = _openface(**options).spec


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "csv"}, "engine csv needs `csv_folder`"),
        ({"engine": "pyfaceau", "columns": "aus"}, "engine pyfaceau has only `columns: intensities`, got aus"),
        ({"time_limit": 0}, "time_limit"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        _openface(**options)


def test_a_file_that_is_no_program_fails_the_clip(clip, tmp_path):
    binary = tmp_path / "FeatureExtraction"
    binary.write_bytes(b"\x7fELF nonsense")
    binary.chmod(0o755)
    failure = _run(_media(clip), binary=str(binary))
    assert failure.reason == "program_failed"
    assert "FeatureExtraction: cannot be started" in failure.message


@pytest.fixture
def pyfaceau(tmp_path, monkeypatch) -> Path:
    """A package of that name, installed as a folder on the path, whose command is the stand-in."""
    package = tmp_path / "site" / "pyfaceau"
    package.mkdir(parents=True)
    repository = str(Path(__file__).parents[3])
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(
        f"import sys\nsys.path.insert(0, {repository!r})\n"
        "from tests.openface import main_pyfaceau\nmain_pyfaceau(sys.argv[1:])\n"
    )
    info = tmp_path / "site" / "pyfaceau-1.4.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pyfaceau\nVersion: 1.4.1\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    return package


def test_pyfaceau_gives_its_seventeen_columns(clip, pyfaceau):
    spec = _openface(engine="pyfaceau").spec
    assert spec.columns == INTENSITIES
    assert spec.source == "pyfaceau 1.4.1"
    assert spec.recipe == {"engine": "pyfaceau"}
    found = _run(_media(clip), engine="pyfaceau")
    assert np.flatnonzero(~found.valid).tolist() == [3]
    np.testing.assert_allclose(found.values[found.valid], np.tile(np.arange(17) / 1000, (24, 1)))


def test_pyfaceau_without_a_face_gives_rows_that_are_not_valid(pyfaceau, tmp_path):
    black = write_clip(tmp_path / "black.mp4", frames=[np.zeros((120, 160, 3), np.uint8)] * 5, audio=None)
    found = _run(_media(black), engine="pyfaceau")
    assert found.values.shape == (5, 17)
    assert not found.valid.any()


def test_pyfaceau_without_its_models_fails_with_its_own_words(clip, pyfaceau):
    (pyfaceau / "__main__.py").write_text("import sys\nsys.exit('pyfaceau: run pyfaceau-download-models')")
    failure = _run(_media(clip), engine="pyfaceau")
    assert failure.message == "pyfaceau: exit status 1, no CSV; pyfaceau: run pyfaceau-download-models"


# What docs/openface_columns.md says of each column, for a 640 x 360 frame with a face well inside it.
RANGES = [
    (r"gaze_[01]_[xyz]", -1, 1),
    (r"gaze_angle_[xy]", -np.pi, np.pi),
    (r"(eye_lmk_)?x_\d+", 0, 640),
    (r"(eye_lmk_)?y_\d+", 0, 360),
    (r"(eye_lmk_)?[XY]_\d+|pose_T[xy]", -300, 300),
    (r"(eye_lmk_)?Z_\d+|pose_Tz", 200, 2000),
    (r"pose_R[xz]", -np.pi, np.pi),
    (r"pose_Ry", -np.pi / 2, np.pi / 2),
    (r"AU\d\d_r", 0, 5),
    (r"AU\d\d_c", 0, 1),
]


def _stack(table, names) -> np.ndarray:
    return np.stack([table[name] for name in names], axis=1)


@pytest.fixture(scope="module")
def ours(theirs) -> dict[str, np.ndarray]:
    """Our columns of the same faces: as if the network had seen what OpenFace saw, in the network's own terms."""
    from scipy.spatial.transform import Rotation

    mesh = np.zeros((100, 478, 3))
    face = mesh[:, 270:338]  # points that the eyes do not use
    face[..., 0], face[..., 1] = (_stack(theirs, [f"{axis}_{i}" for i in range(68)]) for axis in "xy")
    depth = _stack(theirs, [f"Z_{i}" for i in range(68)]) - theirs["pose_Tz"][:, None]
    face[..., 2] = depth * 437.5 / theirs["pose_Tz"][:, None]
    for iris, lids, eye in zip(formulas._IRISES, formulas._LIDS, (slice(36, 42), slice(42, 48)), strict=True):
        points = [*(i for part in lids for i in part), *range(iris, iris + 5)]
        mesh[:, points] = face[:, eye].mean(axis=1, keepdims=True)
    mesh[:, formulas.OUTER_CORNERS] = face[:, [36, 45]]
    angles = Rotation.from_euler("XYZ", _stack(theirs, [f"pose_R{axis}" for axis in "xyz"]))
    x, y, z = (theirs[f"gaze_0_{axis}"] + theirs[f"gaze_1_{axis}"] for axis in "xyz")
    values = formulas.openface_values(
        mesh=mesh,
        sizes=np.full((100, 2), [640.0, 360.0]),
        pose=np.pad(angles.as_rotvec(), [(0, 0), (0, 3)]),
        gaze=np.stack([np.arctan2(-x, -z), np.arctan2(y, np.hypot(x, z))], axis=1),
        aus=_stack(theirs | {"AU43_r": theirs["AU45_r"]} | dict.fromkeys(("AU11_r", "AU24_r", "AU28_r"), np.zeros(100)),
                   [f"{au}_r" for au in FEAT_AUS]) / 5,
        face=range(270, 338),
    )  # fmt: skip
    return dict(zip(OPENFACE_COLUMNS, values.T, strict=True))


def test_every_column_of_ours_and_of_openfaces_is_in_its_documented_range(ours, theirs):
    for name in OPENFACE_COLUMNS:
        [(least, most)] = [(a, b) for pattern, a, b in RANGES if re.fullmatch(pattern, name)]
        for table in (ours, theirs):
            if name in table:  # that OpenFace has no eye landmarks and no gaze angles
                assert least <= table[name].min() <= table[name].max() <= most, name
    for table in (ours, theirs):
        for eye in "01":
            lengths = np.linalg.norm(_stack(table, [f"gaze_{eye}_{axis}" for axis in "xyz"]), axis=1)
            np.testing.assert_allclose(lengths, 1, atol=1e-5)
        assert all(set(table[name]) <= {0, 1} for name in AUS if name.endswith("_c"))
    assert "AU28_c" in AUS
    assert "AU28_r" not in AUS


def test_signs_and_units_are_openfaces(ours, theirs):
    """In OpenFace's own terms the same faces give OpenFace's own numbers, up to the documented assumptions."""
    same = [f"{axis}_{i}" for axis in "xy" for i in range(68)] + [f"pose_R{axis}" for axis in "xyz"]
    np.testing.assert_allclose(_stack(ours, same), _stack(theirs, same), atol=1e-5)
    intensities = [name for name in AUS if name.endswith("_r")]
    np.testing.assert_allclose(_stack(ours, intensities), _stack(theirs, intensities), atol=1e-12)
    points = [_stack(theirs, [f"{axis}_{i}" for axis in "XYZ"]) for i in (36, 45)]
    factor = np.linalg.norm(points[0] - points[1], axis=1)[:, None] / formulas.OUTER_CORNERS_MM
    assert np.abs(factor - 1).max() < 0.06  # the one assumed length against this face's, frame by frame
    lengths = [f"{axis}_{i}" for axis in "XYZ" for i in range(68)]
    np.testing.assert_allclose(_stack(ours, lengths) * factor, _stack(theirs, lengths), rtol=0.002, atol=0.02)
    origin = [f"pose_T{axis}" for axis in "xyz"]  # OpenFace's is its face model's, ours the mean of the points
    np.testing.assert_allclose(_stack(ours, origin) * factor, _stack(theirs, origin), rtol=0, atol=6.1)
    for axis in "xyz":
        mean = (theirs[f"gaze_0_{axis}"] + theirs[f"gaze_1_{axis}"]) / 2
        np.testing.assert_allclose(ours[f"gaze_0_{axis}"], mean, atol=0.01)
    np.testing.assert_allclose(ours["gaze_angle_x"], np.arctan2(ours["gaze_0_x"], -ours["gaze_0_z"]))
    np.testing.assert_allclose(ours["gaze_angle_y"], np.arctan2(ours["gaze_0_y"], -ours["gaze_0_z"]))


def test_signs_mean_what_the_documentation_says(theirs):
    """On the real faces: down, the frame's left and clockwise are positive, the nose is nearer than the ears."""
    x, y, depth = (_stack(theirs, [f"{axis}_{i}" for i in range(68)]) for axis in "xyZ")
    across = (x[:, 30] - x[:, [0, 16]].mean(axis=1)) / (x[:, 16] - x[:, 0])
    assert np.corrcoef(across, theirs["pose_Ry"])[0, 1] < -0.9
    assert np.corrcoef(depth[:, 8] - depth[:, 27], theirs["pose_Rx"])[0, 1] > 0.9  # looking down, the chin goes back
    run, rise = (points[:, 42:48].mean(axis=1) - points[:, 36:42].mean(axis=1) for points in (x, y))
    assert np.corrcoef(np.arctan2(rise, run), theirs["pose_Rz"])[0, 1] > 0.8
    assert (depth[:, 30] < depth[:, [0, 16]].min(axis=1)).all()
    assert (np.sign(x.mean(axis=1) - 320) == np.sign(theirs["pose_Tx"])).all()
    assert (np.sign(y.mean(axis=1) - 180) == np.sign(theirs["pose_Ty"])).all()
    assert (theirs["gaze_0_x"] > theirs["gaze_1_x"]).all()  # eye 0, at the frame's left, looks further to the right


def test_our_eye_points_lie_in_the_eyes(ours):
    for eye, lids in ((range(28), range(36, 42)), (range(28, 56), range(42, 48))):
        for axis in "xyXYZ":
            points = _stack(ours, [f"eye_lmk_{axis}_{i}" for i in eye]).mean(axis=1)
            centre = _stack(ours, [f"{axis}_{i}" for i in lids]).mean(axis=1)
            np.testing.assert_allclose(points, centre, atol=3)
