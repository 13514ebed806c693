"""IndoMER's label files, made of a manifest: what each clip must carry for them, and what is written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from storage.clip import Clip
from storage.exporters._shared.files import write_json
from storage.exporters._shared.selection import abbreviate
from storage.exporters.indomer.layout import SUFFIXES
from storage.vocabulary.indomer_files import (
    ANNOTATION_COLUMNS,
    ANNOTATIONS,
    CLASSES,
    SPLIT_KEYS,
    Row,
    dump_annotations,
    dump_split_json,
    split_json_name,
)
from storage.wording import counted

_CLIP = re.compile(r"clip_(\d+)_.+_(\d+)")
_PER_MODALITY = ("audio", "text", "video")

Cells = dict[str, str | None]


def write_labels(folder: Path, splits: Mapping[str, Sequence[Clip]]) -> Iterator[str]:
    """Write the split JSONs, their copies with `label_id`, and `Annotations.csv`, each only if all its clips allow it.

    Args:
        folder: Where to write.
        splits: Clips of each split, in order.

    Yields:
        One line about each file that was written, or why it was not.
    """
    for classes, labels in CLASSES.items():
        written = [line for split, clips in splits.items() for line in _write_split(folder, classes, split, clips)]
        if (folder / f"{classes}_Class").is_dir():
            write_json(folder / f"{classes}_Class" / "classes.json", {"label_id": list(labels)})
        yield from written
    yield from _write_annotations(folder, [clip for clips in splits.values() for clip in clips])


def _write_split(folder: Path, classes: str, split: str, clips: Sequence[Clip]) -> Iterator[str]:
    name = split_json_name(classes, split)
    cells = {clip.id: _item(clip, classes) for clip in clips}
    items, incomplete = _whole(cells, SPLIT_KEYS[classes])
    incomplete = incomplete or [
        f"{i} (label {item['label']})"
        for i, item in zip(cells, items, strict=True)
        if item["label"] not in CLASSES[classes]
    ]
    if incomplete or not items:
        yield f"{name}: not written, clips lack what it needs: {abbreviate(incomplete)}"
        return
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(dump_split_json(items))
    numbered = [{**item, "label_id": CLASSES[classes].index(item["label"])} for item in items]
    write_json(path.with_name(f"{path.stem}_label_id.json"), numbered)
    yield f"{name}: {counted(len(items), 'clip')}"


def _write_annotations(folder: Path, clips: Sequence[Clip]) -> Iterator[str]:
    cells = {clip.id: _annotation(clip) for clip in clips}
    rows, incomplete = _whole(cells, ANNOTATION_COLUMNS)
    order = {clip_id: _numbers_of(clip_id) for clip_id in cells}
    incomplete = incomplete or [
        f"{i} (name is not clip_<video>_<topic>_<number>)" for i, at in order.items() if at is None
    ]
    if incomplete or not rows:
        yield f"{ANNOTATIONS}: not written, clips lack what it needs: {abbreviate(incomplete)}"
        return
    named = dict(zip(cells, rows, strict=True))
    ordered = [named[i] for i in sorted(named, key=lambda i: order[i] or (0, 0))]
    (folder / ANNOTATIONS).write_bytes(dump_annotations(ordered))
    yield f"{ANNOTATIONS}: {counted(len(rows), 'clip')}"


def _whole(cells: Mapping[str, Cells], keys: Sequence[str]) -> tuple[list[Row], list[str]]:
    """The rows, with their keys in order, and the clips that lack a cell, each with the first one."""
    rows, incomplete = [], []
    for clip_id, texts in cells.items():
        row = {key: text for key in keys if (text := texts[key]) is not None}
        rows.append(row)
        incomplete += [f"{clip_id} ({next(key for key in keys if key not in row)})"] if len(row) < len(keys) else []
    return ([], incomplete) if incomplete else (rows, incomplete)


def _numbers_of(clip_id: str) -> tuple[int, int] | None:
    """Video and segment number in a clip's name, by which `Annotations.csv` is sorted."""
    match = _CLIP.fullmatch(clip_id)
    return (int(match[1]), int(match[2])) if match else None


def _item(clip: Clip, classes: str) -> Cells:
    cells = {
        "sample_id": clip.id,
        "text": clip.text,
        "sentiment_label": _sentiment(clip),
        "label": _sentiment(clip) if classes == "3" else _emotion(clip),
        **{kind: f"{clip.id}{suffix}" for kind, suffix in SUFFIXES.items()},
    }
    return cells | {f"{kind}_label": clip.labels.get(kind) for kind in _PER_MODALITY}


def _annotation(clip: Clip) -> Cells:
    cells = {
        **{f"{kind}_name": f"{clip.id}{suffix}" for kind, suffix in SUFFIXES.items()},
        "emotion": _emotion(clip),
        "sentiment": _sentiment(clip),
        "text": clip.text,
    }
    return cells | {f"{kind}_sentiment": clip.labels.get(kind) for kind in _PER_MODALITY}


def _sentiment(clip: Clip) -> str | None:
    """The clip's sentiment: a label of its own, or the only label of a table that has it for each modality too."""
    if "sentiment" in clip.labels:
        return clip.labels["sentiment"]
    return clip.label_raw if all(kind in clip.labels for kind in _PER_MODALITY) else None


def _emotion(clip: Clip) -> str | None:
    """The clip's label where its sentiment is a label of its own; else the label may be the sentiment."""
    return clip.label_raw if "sentiment" in clip.labels else None
