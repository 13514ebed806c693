"""Reads what a person says about the labels of a corpus: its words in merflow's vocabulary."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from configs.errors import RunError
from configs.paths import as_path
from storage.vocabulary.label_maps import LABEL_MAPS
from storage.vocabulary.labels import LABELS


def read_label_map(source: str) -> dict[str, str]:
    """Labels by the corpus's own words, in small letters.

    Args:
        source: A JSON or YAML file `{word: label}`, a CSV file with two columns, or a language.

    Raises:
        RunError: If there is no such file or language, the file is of another form, or a label is not merflow's.
    """
    path = as_path(source)
    if not path.is_file():
        if source not in LABEL_MAPS:
            raise RunError(
                f"label_map={source}: no such file, and no such language; languages: {', '.join(LABEL_MAPS)}"
            )
        return LABEL_MAPS[source]
    labels = {str(word).strip().lower(): str(label).strip() for word, label in _pairs(path).items()}
    unknown = {word: label for word, label in labels.items() if label not in LABELS}
    if unknown:
        word, label = next(iter(unknown.items()))
        raise RunError(f"{path}: {word}: no label {label!r}; labels: {', '.join(LABELS)}")
    return labels


def _pairs(path: Path) -> Mapping[Any, Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() in {".csv", ".tsv"}:
            rows = [row for row in csv.reader(text.splitlines(), delimiter="\t" if "\t" in text else ",") if row]
            has_header = bool(rows) and rows[0][-1].strip() not in LABELS
            return dict(rows[has_header:])
        found = yaml.safe_load(text)  # JSON is YAML
    except (UnicodeDecodeError, ValueError, yaml.YAMLError) as error:
        raise RunError(f"{path}: expected two columns, or keys with values: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict):
        raise RunError(f"{path}: expected the corpus's words with merflow's labels, got {type(found).__name__}")
    return found
