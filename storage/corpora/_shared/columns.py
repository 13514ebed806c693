"""Which column of a table holds which field of a clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from configs.errors import RunError

# For each field the columns that are taken for it where no option names one. All of these exist in public corpora.
FIELDS: dict[str, tuple[str, ...]] = {
    "id": ("id", "clip_id", "sample_id", "key"),
    "video": ("video", "video_name", "video_path"),
    "audio": ("audio", "audio_name", "wav"),
    "text": ("text", "sentence", "transcript"),
    "label": ("label", "emotion", "emo"),
    "split": ("split",),
    "speaker": ("speaker",),
    "start": ("start", "start_time"),
    "end": ("end", "end_time"),
    "group": (),
    "language": (),
    "audio_track": (),
    "video_track": (),
    "audio_channel": (),
    "valence": (),
    "arousal": (),
    "dominance": (),
}


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns in use.

    Attributes:
        fields: Column of each field that has one.
        labels: Name of each further label, by its column.
        constants: What every row says about a field that has no column.
    """

    fields: Mapping[str, str]
    labels: Mapping[str, str]
    constants: Mapping[str, str]

    def __str__(self) -> str:
        """One line for the report."""
        pairs = [f"{name}={column}" for name, column in self.fields.items()]
        pairs += [f"{name}=={text}" for name, text in self.constants.items()]
        return ", ".join(pairs + [f"labels.{name}={column}" for column, name in self.labels.items()])

    def cell(self, cells: Mapping[str, str], field: str) -> str | None:
        """What a row says about a field, without blanks around it; None if nothing.

        Args:
            cells: The row, by column.
            field: Name of the field.
        """
        return (self.exact(cells, field) or "").strip() or None

    def exact(self, cells: Mapping[str, str], field: str) -> str | None:
        """What a row says about a field, as it is written; None if nothing.

        Args:
            cells: The row, by column.
            field: Name of the field.
        """
        if field in self.constants:
            return self.constants[field]
        return cells.get(self.fields[field]) or None if field in self.fields else None

    def label_cells(self, cells: Mapping[str, str]) -> dict[str, str]:
        """A row's further labels by name, without the empty ones."""
        labels = {name: cells.get(column, "").strip() for column, name in self.labels.items()}
        return {name: text for name, text in labels.items() if text}


def choose_columns(columns: Sequence[str], options: Mapping[str, str], where: str) -> Columns:
    """Find the column of each field.

    Args:
        columns: Columns of the table.
        options: Column of a field by the field's name, an empty one for none, or `=` and what every row says; a field
            without an option gets the first of its well-known names that is a column.
        where: Named in errors.

    Raises:
        RunError: If an option names a column that does not exist; lists those that do.
    """
    fields = {}
    constants = {name: text[1:] for name, text in options.items() if name in FIELDS and text.startswith("=")}
    for name, usual in FIELDS.items():
        if name in constants:
            continue
        column = options.get(name, next((k for k in usual if k in columns), ""))
        if column and column not in columns:
            raise RunError(f"{where}: {name}={column}: no such column; columns: {', '.join(columns)}")
        if column:
            fields[name] = column
    return Columns(fields, _further_labels([c for c in columns if c not in fields.values()]), constants)


def _further_labels(columns: Sequence[str]) -> dict[str, str]:
    """Name of each further label by its column: `audio` for `audio_label` and for `audio_sentiment`."""
    names: dict[str, str] = {}
    for column in columns:
        if column.endswith(("_label", "_sentiment")) or column == "sentiment":
            short = column.removesuffix("_label").removesuffix("_sentiment")
            names[column] = short if short and short not in names.values() else column
    return names
