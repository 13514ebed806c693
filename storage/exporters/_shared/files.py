"""Small files of exports: their names as options, JSON, npy, and the records that every folder has."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator

from storage.exporters._shared.selection import abbreviate
from storage.wording import having


def file_name(suffix: str, no_file: str | None = None) -> AfterValidator:
    """What an option for the name of a file must be: no folder in it, and this suffix.

    Args:
        suffix: The suffix.
        no_file: Word that asks for no file; None if there must be one.
    """

    def check(name: str) -> str:
        if name != no_file and (PurePath(name).name != name or not name.endswith(suffix)):
            raise ValueError(f"expected a file name that ends in {suffix}, got {name!r}")
        return name

    return AfterValidator(check)


def write_json(path: Path, value: object) -> None:
    """Write a JSON file for people and programs: indented, UTF-8.

    Args:
        path: File to write.
        value: Plain JSON types.
    """
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8", newline="")


def write_npy(path: Path, array: npt.NDArray[Any]) -> None:
    """Write an array in the format's version 1, which every NumPy reads; the folder is made.

    Args:
        path: File to write.
        array: Numbers of any shape.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.ascontiguousarray(array), allow_pickle=False)


def write_records(folder: Path, without: Mapping[str, Sequence[str]], provenance: str) -> list[str]:
    """Write `missing.json` and `provenance.json`.

    Args:
        folder: Folder of the export.
        without: Ids of the clips that were left out, by what they lack.
        provenance: JSON text.

    Returns:
        One line about each thing that clips lack.
    """
    write_json(folder / "missing.json", without)
    (folder / "provenance.json").write_text(f"{provenance}\n", encoding="utf-8")
    return [
        f"{what}: {having(len(ids), 'clip')} none, left out: {abbreviate(ids)}" for what, ids in without.items() if ids
    ]
