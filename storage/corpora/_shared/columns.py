"""Which column of a table holds which field of a clip."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from configs.errors import RunError

# For each field the columns that are taken for it where no option names one, the preferred ones first; compared without
# regard to case, `_`, `-` and blanks. All of these exist in public corpora, or in what tools such as Whisper write.
FIELDS: dict[str, tuple[str, ...]] = {
    "id": ("id", "clip_id", "sample_id", "key", "utt_id", "segment_id", "name"),
    "file": ("filename", "file", "file_path", "path", "media", "clip", "clip_name"),
    "video": ("video", "video_name", "video_path", "video_file", "mp4", "image", "image_path", "picture"),
    "audio": ("audio", "audio_name", "audio_path", "audio_file", "wav", "wav_path", "wav_file"),
    "text": ("text", "sentence", "transcript", "transcription", "utterance", "subtitle", "caption", "raw_text"),
    "label": ("label", "emotion", "emo", "emotion_label", "discrete_emotion", "emo_class", "major_emotion"),
    "split": ("split", "split_set", "partition", "subset", "mode"),
    "speaker": ("speaker", "speaker_id", "spk", "spk_id", "spkr", "spkr_id", "actor", "actor_id"),
    "start": ("start", "start_time", "begin", "onset", "start_seconds", "start_s"),
    "end": ("end", "end_time", "stop", "end_seconds", "end_s"),
    "group": ("group", "dialogue_id", "dialog_id", "session", "session_id"),
    "language": ("language", "lang", "locale"),
    "audio_track": (),
    "video_track": (),
    "audio_channel": ("channel", "audio_channel"),
    "frame_rate": (),
    "main_face": ("main_face",),
    "valence": ("valence", "emo_val", "val"),
    "arousal": ("arousal", "activation", "emo_act", "aro"),
    "dominance": ("dominance", "emo_dom", "dom"),
}
_IGNORED_IN_NAMES = re.compile(r"[\s_-]+")
_TEMPLATE = re.compile(r"\{([^{}]+)\}")


Reader = Callable[[Mapping[str, str]], str | None]


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns in use.

    Attributes:
        fields: Column of each field that has one.
        labels: Name of each further label, by its column.
        constants: What every row says about a field that has no column.
        templates: Text made of several columns, such as `dia{Dialogue_ID}_utt{Utterance_ID}`, by field.
        ignored: Columns that are not used.
    """

    fields: Mapping[str, str]
    labels: Mapping[str, str]
    constants: Mapping[str, str]
    templates: Mapping[str, str] = field(default_factory=dict)
    ignored: Sequence[str] = ()

    def __str__(self) -> str:
        """One line for the report."""
        pairs = [f"{name}={column}" for name, column in {**self.fields, **self.templates}.items()]
        pairs += [f"{name}=={text}" for name, text in self.constants.items()]
        return ", ".join(pairs + [f"labels.{name}={column}" for column, name in self.labels.items()])

    @property
    def known(self) -> set[str]:
        """Fields that rows say something about."""
        return {*self.fields, *self.templates, *self.constants}

    def cell(self, cells: Mapping[str, str], name: str) -> str | None:
        """What a row says about a field, without blanks around it; None if nothing.

        Args:
            cells: The row, by column.
            name: Name of the field.
        """
        return self.reader(name)(cells)

    def reader(self, name: str) -> Reader:
        """What gives a row's cell of a field as `cell` does, for many rows.

        Args:
            name: Name of the field.
        """
        column = self.fields.get(name)
        if column is not None:
            return lambda cells: cells.get(column, "").strip() or None
        return lambda cells: (self.exact(cells, name) or "").strip() or None

    def exact_reader(self, name: str) -> Reader:
        """What gives a row's cell of a field as `exact` does, for many rows.

        Args:
            name: Name of the field.
        """
        column = self.fields.get(name)
        return (lambda cells: cells.get(column) or None) if column is not None else (lambda c: self.exact(c, name))

    def exact(self, cells: Mapping[str, str], name: str) -> str | None:
        """What a row says about a field, as it is written; None if nothing.

        Args:
            cells: The row, by column.
            name: Name of the field.
        """
        if name in self.fields:
            return cells.get(self.fields[name]) or None
        if name in self.constants:
            return self.constants[name]
        template = self.templates.get(name)
        if template is None:
            return None
        return _TEMPLATE.sub(lambda found: cells.get(found[1], "").strip(), template)

    def label_cells(self, cells: Mapping[str, str]) -> dict[str, str]:
        """A row's further labels by name, without the empty ones."""
        labels = {name: cells.get(column, "").strip() for column, name in self.labels.items()}
        return {name: text for name, text in labels.items() if text}


def choose_columns(columns: Sequence[str], options: Mapping[str, str], where: str) -> Columns:
    """Find the column of each field.

    Args:
        columns: Columns of the table.
        options: Column of a field by the field's name, an empty one for none, `=` and what every row says, or a text
            with columns in braces; a field without an option gets the first of its well-known names that is a column.
        where: Named in errors.

    Raises:
        RunError: If an option names a column that does not exist; lists those that do.
    """
    plain: dict[str, str] = {}
    for column in columns:
        plain.setdefault(_plain(column), column)
    stated = {name: text for name, text in options.items() if name in FIELDS}
    constants = {name: text[1:] for name, text in stated.items() if text.startswith("=")}
    templates = {
        name: _template(text, name, columns, plain, where)
        for name, text in stated.items()
        if name not in constants and "{" in text
    }
    if not stated.keys() & {"id", "video", "audio", "file"} and {"videoid", "clipid"} <= plain.keys():
        # MMSA's label.csv: clip_id counts within one video, whose clips lie in a folder of its name.
        video, clip = plain["videoid"], plain["clipid"]
        templates |= {"id": f"{{{video}}}_{{{clip}}}", "file": f"{{{video}}}/{{{clip}}}"}
    fields: dict[str, str] = {}
    for name, usual in FIELDS.items():
        if name in constants or name in templates:
            continue
        if name in stated:
            column = _existing(stated[name], name, columns, plain, where) if stated[name] else ""
        else:
            free = (plain[_plain(usual_name)] for usual_name in usual if _plain(usual_name) in plain)
            column = next((c for c in free if c not in fields.values()), "")
        if column:
            fields[name] = column
    parts = {part for template in templates.values() for part in _TEMPLATE.findall(template)}
    left = [column for column in columns if column not in {*fields.values(), *parts}]
    labels = _further_labels(left)
    return Columns(fields, labels, constants, templates, [column for column in left if column not in labels])


def _plain(column: str) -> str:
    return _IGNORED_IN_NAMES.sub("", column).lower()


def _existing(column: str, name: str, columns: Sequence[str], plain: Mapping[str, str], where: str) -> str:
    if column in columns:
        return column
    if _plain(column) not in plain:
        raise RunError(f"{where}: {name}={column}: no such column; columns: {', '.join(columns)}")
    return plain[_plain(column)]


def _template(text: str, name: str, columns: Sequence[str], plain: Mapping[str, str], where: str) -> str:
    return _TEMPLATE.sub(lambda found: f"{{{_existing(found[1], name, columns, plain, where)}}}", text)


def _further_labels(columns: Sequence[str]) -> dict[str, str]:
    """Name of each further label by its column: `audio` for `audio_label` and for `audio_sentiment`."""
    names: dict[str, str] = {}
    for column in columns:
        lower = column.lower()
        if lower.endswith(("_label", "_sentiment")) or lower == "sentiment":
            short = lower.removesuffix("_label").removesuffix("_sentiment")
            names[column] = short if short and short not in names.values() else column
    return names
