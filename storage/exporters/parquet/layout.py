"""Names in the tables, for the writer and the validator."""

from __future__ import annotations

CARD = "README.md"
CLIPS_FILE = "clips.parquet"
INDEX = {"clip_id": "string", "row": "int32", "start": "double", "end": "double", "valid": "bool"}
LIST = "values"
