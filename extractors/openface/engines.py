"""Where OpenFace's numbers of a clip come from: its program, pyfaceau's, or a folder of CSV files.

Each clip gets a fresh process: OpenFace and pyfaceau adapt to the face that they see.
"""

from __future__ import annotations

import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from configs.errors import RunError
from extractors.core.media.clip_media import Media
from extractors.core.networks.weights_files import sha256_of
from extractors.openface.program import clip_file, find_program, run
from storage.errors import ClipError

_GET_OPENFACE = (
    "build OpenFace 2.2 (github.com/TadasBaltrusaitis/OpenFace) and give `binary:` the path of its FeatureExtraction, "
    "or give `command:` that of a container; or use `engine: csv` or `engine: pyfaceau`"
)
_GET_PYFACEAU = (
    "install pyfaceau (CC BY-NC 4.0, research only; wants OpenCV 4) into an environment of its own, run "
    "`pyfaceau-download-models` there, and give `python:` the path of its Python"
)


class Engine(ABC):
    """One way to get a CSV.

    Attributes:
        source: Whose numbers these are.
        identity: What of the engine can change a number, for the recipe.
    """

    source: str
    identity: dict[str, Any]

    @abstractmethod
    def csv_of(self, media: Media, scratch: Path) -> Path:
        """Path of the clip's CSV, made in `scratch` if it has to be made.

        Args:
            media: The clip's media.
            scratch: Folder for scratch files, empty.

        Raises:
            ClipError: `program_failed` or `bad_csv`.
        """


class CsvFolder(Engine):
    """A folder that holds one CSV per clip.

    Args:
        folder: The folder.
        name: What the files are called: `id` (`<clip id>.csv`) or `stem` (as the video, but `.csv`; either all in the
            folder itself or in folders as the videos are).
        made_by: Who wrote them; the source.

    Raises:
        RunError: If there is no such folder.
    """

    def __init__(self, folder: Path, name: str, made_by: str) -> None:
        if not folder.is_dir():
            raise RunError(f"openface: csv_folder {folder} is not a folder")
        self._folder, self._name = folder, name
        self.source = f"{made_by} (CSV files)"
        self.identity = {"engine": "csv"}

    def csv_of(self, media: Media, scratch: Path) -> Path:
        """The file, wherever the folder is.

        Args:
            media: The clip's media.
            scratch: Folder for scratch files, empty.
        """
        video = Path(media.clip.video or "")
        video = video.relative_to(video.anchor)
        names = [f"{video.stem}.csv", f"{video.parent / video.stem}.csv"] if self._name == "stem" else []
        names = names or [f"{media.clip.id}.csv"]
        csv = sorted({self._folder / name for name in names if (self._folder / name).is_file()})
        if len(csv) != 1:
            problem = f"both {' and '.join(names)} are" if csv else f"no {' or '.join(dict.fromkeys(names))}"
            raise ClipError("bad_csv", f"{problem} in csv_folder (csv_name: {self._name})", stage="open")
        return csv[0]


class FeatureExtraction(Engine):
    """OpenFace 2.2's program, or a command that runs it, such as a container's.

    Args:
        binary: Path or name of `FeatureExtraction`; not used if there is a command.
        command: Program and arguments, with `{input}`, `{output}` (the folder for the CSV) and `{folder}` (that holds
            both) to be filled in; the flags that choose columns are added at its end.
        flags: Those flags.
        made_by: Whose program it is; the source.
        limit: Seconds that one clip may take.

    Raises:
        RunError: If the program is not on this machine, or the command does not say where input and output go.
    """

    def __init__(self, binary: str, command: Sequence[str], flags: Sequence[str], made_by: str, limit: float) -> None:
        program = find_program(command[0] if command else binary, f"OpenFace: {_GET_OPENFACE}")
        for part in ("{input}", "{output}") if command else ():
            if not any(part in word for word in command):
                raise RunError(f"openface: `command` lacks {part}; got {' '.join(command)}")
        arguments = (*command[1:],) if command else ("-f", "{input}", "-out_dir", "{output}")
        self._command = (program, *arguments, *flags)
        self._limit = limit
        self.source = made_by
        which = {"command": list(command)} if command else {"sha256": sha256_of(Path(program))}
        self.identity = {"engine": "binary", **which, "flags": list(flags)}

    def csv_of(self, media: Media, scratch: Path) -> Path:
        """Run it; it exits with 0 even where it failed, so what counts is the CSV.

        Args:
            media: The clip's media.
            scratch: Folder for scratch files, empty.
        """
        video, output = clip_file(media, scratch), scratch / "out"
        output.mkdir()
        places = {"{input}": str(video), "{output}": str(output), "{folder}": str(scratch)}
        status, log = run(_fill(self._command, places), scratch, self._limit)
        csv = output / f"{video.stem}.csv"
        if status or not csv.is_file():
            raise ClipError("program_failed", f"OpenFace: exit status {status}, {_has(csv)}; {log}")
        return csv


class Pyfaceau(Engine):
    """pyfaceau's command in the environment in which the user installed it.

    Args:
        python: Python of that environment; None for this one.
        limit: Seconds that one clip may take.

    Raises:
        RunError: If that Python, or pyfaceau in it, is not there.
    """

    def __init__(self, python: str | None, limit: float) -> None:
        self._python = find_program(python or sys.executable, f"pyfaceau: {_GET_PYFACEAU}")
        ask = "from importlib.metadata import version; print(version('pyfaceau'))"
        answer = subprocess.run([self._python, "-c", ask], capture_output=True, text=True, check=False)
        if answer.returncode:
            raise RunError(f"pyfaceau is not installed for {self._python}: {_GET_PYFACEAU}")
        self._limit = limit
        self.source = f"pyfaceau {answer.stdout.strip()}"
        self.identity = {"engine": "pyfaceau"}

    def csv_of(self, media: Media, scratch: Path) -> Path:
        """Run it. It exits with 1, after it wrote its CSV, also where no frame has a face.

        Args:
            media: The clip's media.
            scratch: Folder for scratch files, empty.
        """
        video, csv = clip_file(media, scratch), scratch / "out.csv"
        command = (self._python, "-m", "pyfaceau", str(video), "-o", str(csv))
        status, log = run(command, scratch, self._limit)
        if status not in {0, 1} or not csv.is_file():
            raise ClipError("program_failed", f"pyfaceau: exit status {status}, {_has(csv)}; {log}")
        return csv


def _fill(command: Sequence[str], places: dict[str, str]) -> list[str]:
    filled = list(command)
    for name, value in places.items():
        filled = [word.replace(name, value) for word in filled]
    return filled


def _has(path: Path) -> str:
    return "a CSV" if path.is_file() else "no CSV"
