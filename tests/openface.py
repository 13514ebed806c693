"""A stand-in for OpenFace's and pyfaceau's programs, run as `python tests/openface.py MODE ...`, and their CSV layouts.

As a program it decodes the video that it is given and writes one row per frame in OpenFace 2.2's layout. `pose_Tx`
is the mean of the frame's red, `pose_Ty` of its green, `pose_Tz` of its blue: so a test sees which frames it was
given. Other columns count up. A frame that is black throughout is one that it fails on.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from storage.vocabulary.openface_columns import INTENSITY_AUS, OPENFACE_COLUMNS

SCRIPT = str(Path(__file__).absolute())
LEADING = {
    "old": ("frame", "timestamp", "confidence", "success"),
    "new": ("frame", "face_id", "timestamp", "confidence", "success"),
    "pyfaceau": ("frame", "timestamp", "success"),
}
SHAPE = tuple(f"p_{name}" for name in ("scale", "rx", "ry", "rz", "tx", "ty", *range(34)))
INTENSITIES = tuple(f"{au}_r" for au in INTENSITY_AUS)


def command(mode: str = "good") -> list[str]:
    """The `command:` that runs the stand-in.

    Args:
        mode: `good`, or how it fails: `silent` (exit status 0, no CSV), `crash`, `hang`, `garbage`, `cut`, `half`.
    """
    return [sys.executable, SCRIPT, mode, "-f", "{input}", "-out_dir", "{output}"]


def write_csv(path: Path, layout: str, columns, values, success=None, *, faces=None, frames=None) -> Path:
    """Write rows as one of `LEADING` does.

    Args:
        path: The file.
        layout: Key of `LEADING`.
        columns: Names of the columns after the leading ones.
        values: (R, D) their numbers.
        success: (R,) 0 or 1; all 1 if None.
        faces: `face_id` of each row.
        frames: Number of each row's frame from 0.
    """
    n = len(values)
    success = np.ones(n, int) if success is None else np.asarray(success)
    first, gap = (0, ",") if layout == "pyfaceau" else (1, ", " if layout == "old" else ",")
    lines = [gap.join((*LEADING[layout], *columns))]
    for i, row in enumerate(values):
        frame = i if frames is None else frames[i]
        cells = {"frame": frame + first, "face_id": 0 if faces is None else faces[i], "timestamp": f"{frame / 25:.3f}"}
        cells |= {"confidence": 0.98, "success": bool(success[i]) if layout == "pyfaceau" else success[i]}
        lines.append(gap.join(str(cell) for cell in [*(cells[name] for name in LEADING[layout]), *row]))
    path.write_text("\n".join(lines) + "\n")
    return path


def colours(video: Path) -> np.ndarray:
    """(T, 3) mean red, green and blue of each frame."""
    with av.open(str(video)) as container:
        return np.array([f.to_ndarray(format="rgb24").mean((0, 1)) for f in container.decode(video=0)])


def table(video: Path, columns) -> tuple[np.ndarray, np.ndarray]:
    """What the stand-in measures: (T, D) values and (T,) success."""
    found = colours(video)
    values = np.tile(np.arange(len(columns)) / 1000, (len(found), 1))
    for name, colour in zip(("pose_Tx", "pose_Ty", "pose_Tz"), found.T, strict=True):
        if name in columns:
            values[:, columns.index(name)] = colour.round(3)
    success = (found.max(1) > 1).astype(int)
    values[success == 0] = 0
    return values, success


def main(mode: str, arguments: list[str]) -> None:
    """Behave as `FeatureExtraction -f VIDEO -out_dir FOLDER [-aus ...]`."""
    if mode == "hang":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path(os.environ["CHILD_FILE"]).write_text(str(child.pid))
        time.sleep(600)
    if mode == "crash":
        sys.exit("could not load the landmark detector")
    video, folder = (Path(arguments[arguments.index(flag) + 1]) for flag in ("-f", "-out_dir"))
    if mode == "silent":
        print("Could not open the input")
        return
    columns = OPENFACE_COLUMNS if "-gaze" in arguments else OPENFACE_COLUMNS[-35:]
    columns += SHAPE if "-pdmparams" in arguments else ()
    values, success = table(video, columns)
    path = write_csv(folder / f"{video.stem}.csv", "new", columns, values, success)
    text = path.read_text()
    broken = {"garbage": "\0\1 not a table", "cut": text[:-85], "half": text[: text.index("\n", len(text) // 2) + 1]}
    path.write_text(broken.get(mode, text))


def main_pyfaceau(arguments: list[str]) -> None:
    """Behave as `pyfaceau VIDEO -o CSV`; without a face it writes no AU columns and exits with 1."""
    video, path = Path(arguments[0]), Path(arguments[arguments.index("-o") + 1])
    values, success = table(video, INTENSITIES)
    if success.any():
        write_csv(path, "pyfaceau", INTENSITIES, values, success)
    else:
        write_csv(path, "pyfaceau", (), values[:, :0], success)
        sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
