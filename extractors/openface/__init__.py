"""OpenFace 2.2's own features: gaze, eyes, pose, landmarks and action units, a row per frame.

Baltrusaitis et al., "OpenFace 2.0: Facial Behavior Analysis Toolkit", IEEE FG 2018. Nothing of OpenFace is in merflow:
its program runs where the user has it, or its CSV files are read. What the columns mean: `docs/openface_columns.md`.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from configs.plugins import Section
from extractors.core.extractor import Extractor
from extractors.core.media.clip_media import Media
from extractors.openface.csv_files import read_openface
from extractors.openface.engines import CsvFolder, Engine, FeatureExtraction, Pyfaceau
from storage.records import Features, FeatureSpec
from storage.vocabulary.openface_columns import OPENFACE_COLUMNS, OPENFACE_UNITS, SHAPE_MODEL_UNITS

Block = Literal["all", "with_shape", "aus", "intensities"]

_UNITS = {"confidence": "0..1", **dict(zip(OPENFACE_COLUMNS, OPENFACE_UNITS, strict=True)), **SHAPE_MODEL_UNITS}
_AUS = tuple(name for name in OPENFACE_COLUMNS if name.startswith("AU"))
_COLUMNS: dict[Block, tuple[str, ...]] = {
    "all": ("confidence", *OPENFACE_COLUMNS),
    "with_shape": ("confidence", *OPENFACE_COLUMNS, *SHAPE_MODEL_UNITS),
    "aus": ("confidence", *_AUS),
    "intensities": tuple(name for name in _AUS if name.endswith("_r")),
}
_FLAGS: dict[Block, tuple[str, ...]] = {
    "all": ("-2Dfp", "-3Dfp", "-pose", "-aus", "-gaze"),
    "with_shape": ("-2Dfp", "-3Dfp", "-pdmparams", "-pose", "-aus", "-gaze"),
    "aus": ("-aus",),
    "intensities": ("-aus",),
}


class OpenfaceOptions(Section):
    """Where the numbers come from.

    Attributes:
        engine: `binary` runs OpenFace's `FeatureExtraction`, `csv` reads files that it wrote, `pyfaceau` runs pyfaceau.
        columns: `all` (confidence and OpenFace's 669), `with_shape` (these and the 40 parameters `p_*` of its shape
            model), `aus` (confidence and 35) or `intensities` (the 17 `AUxx_r`, all that pyfaceau has). Default `all`,
            for pyfaceau `intensities`.
        binary: Path or name of `FeatureExtraction`.
        command: A command that runs it instead, such as a container's: program and arguments, with `{input}` (the
            video), `{output}` (the folder for the CSV) and `{folder}` (the scratch folder that holds both, and that it
            runs in: other paths must be absolute).
        python: Python of the environment that pyfaceau is installed in; default the one merflow runs in.
        csv_folder: Folder of the CSV files.
        csv_name: `id`: they are called `<clip id>.csv`; `stem`: as the video files, but `.csv`, as OpenFace
            calls them; in folders as the videos are where two videos share a name.
        made_by: Which OpenFace, with its version; not for pyfaceau, which says so itself. It is in the digest, the
            content of CSV files is not: change it, or use another store, when the files change.
        time_limit: Most seconds that a program may take for one clip.
    """

    engine: Literal["binary", "csv", "pyfaceau"] = "binary"
    columns: Block | None = None
    binary: str = "FeatureExtraction"
    command: tuple[str, ...] = ()
    python: str | None = None
    csv_folder: Path | None = None
    csv_name: Literal["id", "stem"] = "id"
    made_by: str = Field(default="OpenFace 2.2", min_length=1)
    time_limit: float = Field(default=900, gt=0)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.engine == "csv" and self.csv_folder is None:
            raise ValueError("engine csv needs `csv_folder`")
        if self.engine == "pyfaceau" and self.block != "intensities":
            raise ValueError(f"engine pyfaceau has only `columns: intensities`, got {self.columns}")
        return self

    @property
    def block(self) -> Block:
        """Which columns: as asked for, else the engine's own."""
        return self.columns or ("intensities" if self.engine == "pyfaceau" else "all")


class Openface(Extractor[OpenfaceOptions]):
    """OpenFace's columns for every frame of a clip; a row is valid where OpenFace says `success`.

    Times are those of the clip's own frames: row i of the CSV is frame i, whatever timestamp OpenFace gives it.
    """

    name = "openface"
    Options = OpenfaceOptions
    modality: ClassVar[Literal["video"]] = "video"
    licence = "OpenFace: academic or non-commercial research; pyfaceau: CC BY-NC 4.0"

    def describe(self) -> FeatureSpec:
        """The engine's columns, one row per frame.

        Raises:
            RunError: If the program, the package or the folder is not on this machine, and how to get it.
        """
        columns = _COLUMNS[self.options.block]
        return FeatureSpec(
            name=self.feature,
            extractor=self.name,
            modality="video",
            level="frame",
            columns=columns,
            units=tuple(_UNITS[name] for name in columns),
            recipe=self._engine.identity,
            source=self._engine.source,
        )

    @cached_property
    def _engine(self) -> Engine:
        asked = self.options
        if asked.engine == "pyfaceau":
            return Pyfaceau(asked.python, asked.time_limit)
        if asked.engine == "csv" and asked.csv_folder is not None:
            return CsvFolder(asked.csv_folder, asked.csv_name, asked.made_by)
        return FeatureExtraction(asked.binary, asked.command, _FLAGS[asked.block], asked.made_by, asked.time_limit)

    @property
    def releases_gil(self) -> bool:
        """True: another program does the work."""
        return True

    def load(self, device: str) -> None:
        """Find the engine; it runs on the CPU whatever the device.

        Raises:
            RunError: If it is not on this machine.
        """
        _ = self._engine

    def extract_clip(self, media: Media) -> Features:
        """Get the clip's CSV, read it and lay it over the clip's frames.

        Raises:
            ClipError: `program_failed`, `bad_csv`, or why the clip has no frames.
        """
        times = media.frame_times()
        with TemporaryDirectory(prefix="merflow-openface-", ignore_cleanup_errors=True) as scratch:
            path = self._engine.csv_of(media, Path(scratch))
            rows = read_openface(path, self.spec.columns)
        values, valid = rows.over(len(times), path.name)
        return self.checked(values, times, valid)
