"""OpenFace's CSV files, one per clip, for programs that read its folders, such as MER-Factory and MMSA-FET.

```
processed/<clip>.csv               frame,face_id,timestamp,confidence,success,<columns of OpenFace>; a row per frame
missing.json, provenance.json      clips that were left out; where the numbers come from
```

Names, order and units of the columns are those of OpenFace 2.2; whose numbers they are says `provenance.json`: of
`action_units` they are py-feat's by merflow's documented formulas (docs/openface_columns.md), not OpenFace's. `frame`
counts from 1, `timestamp` is when the frame is shown, in seconds from the clip's start. Where no face was found,
`success` and `confidence` are 0, and so are all columns, as OpenFace writes it. Numbers have the nine digits that a
float32 needs, so that reading gives what is stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from configs.errors import RunError
from storage.exporters._shared.arrays import filled
from storage.exporters._shared.exporter import Exporter
from storage.exporters._shared.files import write_records
from storage.exporters._shared.selection import clips_without, refuse_missing, spec_of
from storage.exporters.openface_csv.layout import FOLDER, LEADING
from storage.exporters.openface_csv.options import OpenfaceCsvOptions
from storage.exporters.openface_csv.validate import validate_folder
from storage.records import FeatureSpec
from storage.vocabulary.openface_columns import ALL_BLOCKS
from storage.wording import counted


class OpenfaceCsvExporter(Exporter[OpenfaceCsvOptions]):
    """One CSV per clip, as OpenFace's FeatureExtraction writes it."""

    name = "openface_csv"
    Options = OpenfaceCsvOptions

    @cached_property
    def _spec(self) -> FeatureSpec:
        name = self.options.feature or next((n for n in ("action_units", "openface") if n in self.store.specs), None)
        spec = spec_of(self.store, name or "action_units", "; choose one with --opt feature=NAME")
        if not set(spec.columns) & set(ALL_BLOCKS):
            raise RunError(f"feature {spec.name}: expected columns of OpenFace, such as AU01_r, got none")
        return spec

    def features(self) -> list[str]:
        """The one feature.

        Raises:
            RunError: If the store lacks it, or it has no column of OpenFace's.
        """
        return [self._spec.name]

    def write(self, destination: Path, provenance: str) -> list[str]:
        """Write the folder, one clip in memory at a time.

        Args:
            destination: File or folder to make.
            provenance: JSON text that must be kept inside the export.

        Raises:
            RunError: If a clip lacks the feature and no option says what to do.
        """
        store, spec = self.store, self._spec
        without = clips_without(store, [spec.name])
        refuse_missing(without, self.options.missing, "leaves them out")
        names = [name for name in ALL_BLOCKS if name in set(spec.columns)]
        places = [spec.columns.index(name) for name in names]
        confidence = spec.columns.index("confidence") if "confidence" in spec.columns else None
        (destination / FOLDER).mkdir(parents=True)
        header, clips, rows = ",".join((*LEADING, *names)), 0, 0
        for clip_id in store.clip_ids(spec.name):
            features = store.get(clip_id, spec.name)
            values, valid = filled(features).astype(np.float64), features.valid.astype(np.float64)
            sure = valid if confidence is None else values[:, confidence]
            frames = np.arange(1, len(valid) + 1)
            table = np.column_stack(
                [frames, np.zeros(len(valid)), features.times[:, 0], sure, valid, values[:, places]]
            )
            path = destination / FOLDER / f"{clip_id}.csv"
            np.savetxt(path, table, fmt="%.9g", delimiter=",", header=header, comments="", encoding="utf-8")
            clips, rows = clips + 1, rows + len(valid)
        line = f"{counted(clips, 'file')}, {rows} rows x {len(names)} columns of OpenFace, numbers of {spec.source}"
        return [line, *write_records(destination, without, provenance)]

    @staticmethod
    def validate(path: Path) -> Iterator[str]:
        """Re-read all files; see `validate_folder`."""
        return validate_folder(path)
