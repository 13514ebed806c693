"""CSV files that OpenFace and its relatives write, read and checked.

Three layouts: OpenFace up to 2.0 (`frame, timestamp, confidence, success`, a space after each comma), OpenFace 2.1 and
2.2 (`frame, face_id, timestamp, confidence, success`) and pyfaceau (`frame, timestamp, success`, frames from 0, `True`
and `False`, no AU columns at all where it found no face in the whole video). Columns are found by name, in any order.

`FaceLandmarkVidMulti` writes several faces per frame. The one with the most successful rows is taken, the lowest
`face_id` of equals; the others' rows are left out.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from extractors.core.media.frame_counts import lacks_too_many
from storage.errors import ClipError

_SUCCESS = {"1": True, "0": False, "true": True, "false": False}


@dataclass(frozen=True, slots=True, eq=False)
class OpenfaceRows:
    """The rows of one face.

    Attributes:
        frames: (R,) int64, number of each row's frame from 0, increasing.
        success: (R,) bool, whether OpenFace found the face in it.
        values: (R, D) float64 of the columns asked for; NaN where not `success`.
    """

    frames: npt.NDArray[np.int64]
    success: npt.NDArray[np.bool_]
    values: npt.NDArray[np.float64]

    def over(self, count: int, name: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """The rows laid over a clip's frames.

        Args:
            count: How many frames the clip has.
            name: Named in errors.

        Returns:
            (count, D) float32 and (count,) bool: NaN and False where OpenFace failed or wrote no row.

        Raises:
            ClipError: `bad_csv` if it has a row for a frame that the clip lacks, or none for more than 2 frames and
                5 %: then it is of another clip, or cut off.
        """
        last = int(self.frames[-1]) + 1
        if last > count or lacks_too_many(len(self.frames), count):
            reach = f"{len(self.frames)} rows up to frame {last}"
            raise ClipError("bad_csv", f"{name}: {reach}, but the clip has {count} frames", stage="check")
        values = np.full((count, self.values.shape[1]), np.nan, dtype=np.float32)
        valid = np.zeros(count, dtype=np.bool_)
        values[self.frames], valid[self.frames] = self.values, self.success
        return values, valid


def read_openface(path: Path, columns: Sequence[str]) -> OpenfaceRows:
    """Read one CSV.

    Timestamps are checked to increase, but not returned: OpenFace makes them up from a nominal frame rate.

    Args:
        path: The file.
        columns: Names of the columns wanted, as OpenFace 2.2 spells them.

    Raises:
        ClipError: `bad_csv`, naming the line and column.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            sheet = _Sheet(path.name, list(csv.reader(file, skipinitialspace=True)))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ClipError("bad_csv", f"{path.name}: not a readable CSV: {error}", stage="check") from error
    return sheet.rows_of_main_face(columns)


class _Sheet:
    """The cells of a CSV; every complaint names the file."""

    def __init__(self, name: str, lines: list[list[str]]) -> None:
        self._name = name
        self._header = [cell.strip() for cell in lines[0]] if lines else []
        self._at = {column: i for i, column in enumerate(self._header)}
        self._need(("frame", "timestamp", "success"))
        if len(self._at) != len(self._header):
            self._refuse(f"column {Counter(self._header).most_common(1)[0][0]!r} appears twice")
        self._rows = lines[1:]
        for number, row in enumerate(self._rows, 2):
            if len(row) != len(self._header):
                self._refuse(f"line {number} has {len(row)} cells, the header {len(self._header)}: cut off?")
        if not self._rows:
            self._refuse("no rows")

    def rows_of_main_face(self, columns: Sequence[str]) -> OpenfaceRows:
        success = np.array([self._success(row) for row in self._rows])
        mine = self._main_face(success)
        frames, stamps = self._numbers(mine, ("frame", "timestamp")).T
        for column, numbers in (("frame", frames), ("timestamp", stamps)):
            if not np.isfinite(numbers).all() or (np.diff(numbers) <= 0).any():
                self._refuse(f"column {column!r} does not increase from row to row")
        first = 1 if "confidence" in self._at else 0  # pyfaceau counts from 0, and has no confidence
        if frames[0] < first or (frames % 1 != 0).any():
            self._refuse(f"column 'frame': expected whole numbers from {first}")
        values = np.full((len(mine), len(columns)), np.nan)
        seen = success[mine]
        if seen.any():
            self._need(columns)
            values[seen] = self._numbers(mine[seen], columns)
        return OpenfaceRows(frames.astype(np.int64) - first, seen, values)

    def _main_face(self, success: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
        """Numbers of the rows of the face that was found in most frames."""
        every = np.arange(len(self._rows))
        if "face_id" not in self._at:
            return every
        ids = self._numbers(every, ("face_id",))[:, 0]
        faces = np.unique(ids)
        return np.flatnonzero(ids == faces[np.argmax([success[ids == face].sum() for face in faces])])

    def _success(self, row: list[str]) -> bool:
        cell = row[self._at["success"]].strip().lower().removesuffix(".0")
        if cell not in _SUCCESS:
            self._refuse(f"column 'success': expected 0, 1, True or False, got {cell!r}")
        return _SUCCESS[cell]

    def _numbers(self, rows: npt.NDArray[np.intp], columns: Sequence[str]) -> npt.NDArray[np.float64]:
        """(R, C) numbers of some rows and columns."""
        at = [self._at[column] for column in columns]
        try:
            return np.array([[float(self._rows[r][i]) for i in at] for r in rows], dtype=np.float64)
        except ValueError:
            for r in rows:
                for column, i in zip(columns, at, strict=True):
                    self._check_number(int(r) + 2, column, self._rows[r][i])
            raise

    def _check_number(self, line: int, column: str, cell: str) -> None:
        try:
            float(cell)
        except ValueError:
            self._refuse(f"line {line}, column {column!r}: expected a number, got {cell!r}")

    def _need(self, columns: Sequence[str]) -> None:
        for column in columns:
            if column not in self._at:
                self._refuse(f"no column {column!r}; it has {len(self._header)} columns")

    def _refuse(self, what: str) -> NoReturn:
        raise ClipError("bad_csv", f"{self._name}: {what}", stage="check")
