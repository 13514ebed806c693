"""EmoBox's lists of clips."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from storage.clip import Clip
from storage.exporters.emobox.folds import Fold
from storage.exporters.emobox.layout import JSON_KEYS
from storage.wording import counted


def record_of(clip: Clip, dataset: str, seconds: float, rate: int) -> dict[str, Any]:
    """A clip's line of the jsonl, keys in EmoBox's order.

    Args:
        clip: The clip.
        dataset: Name of the data set.
        seconds: Length of the clip.
        rate: Samples per second of its audio.
    """
    media = str(clip.audio or clip.video)
    record: dict[str, Any] = {
        "key": f"{dataset}-{clip.id}",
        "dataset": dataset,
        "wav": media if "://" in media else f"downloads/{dataset}/{media}",
        "type": "raw",
        "sample_rate": rate,
        "num_frame": seconds * rate,
        "task": "category",
        "length": seconds,
        "emo": clip.label_raw,
        "channel": (clip.audio_channel or 0) + 1,
    }
    if clip.start is None and clip.end is None:
        return record
    start = clip.start or 0.0
    return record | {"start_time": start, "end_time": clip.end or start + seconds}


class Lists:
    """All lists of clips, each as JSON lines and as one JSON object, written clip by clip.

    Args:
        root: Folder of the data set.
        dataset: Its name.
        stack: What ends and closes the files.
    """

    def __init__(self, root: Path, dataset: str, stack: ExitStack) -> None:
        self._root, self._dataset, self._stack = root, dataset, stack
        self._files: dict[str, tuple[IO[str], IO[str]]] = {}
        self._counts: Counter[str] = Counter()
        self._folds: Counter[Fold] = Counter()

    def add(self, record: Mapping[str, Any], folds: Iterable[Fold]) -> None:
        """Write a clip to the list of all clips and to those of its folds and splits.

        Args:
            record: What `record_of` gave.
            folds: Folds and splits of the clip.
        """
        folds = list(folds)
        self._folds.update(folds)
        names = [f"fold_{k}/{self._dataset}_{split}_fold_{k}" for k, split in folds]
        entry = json.dumps({record["key"]: {key: record[key] for key in JSON_KEYS if key in record}}, indent=4)
        for name in (self._dataset, *names):
            lines, whole = self._open(name)
            lines.write(json.dumps(record) + "\n")
            # One object of one entry each, without its braces: together they are one object.
            whole.write(("{" if not self._counts[name] else ",") + entry[1:-2])
            self._counts[name] += 1

    def _open(self, name: str) -> tuple[IO[str], IO[str]]:
        if name not in self._files:
            path = self._root / name
            path.parent.mkdir(exist_ok=True)
            paths = [path.with_name(f"{path.name}{suffix}") for suffix in (".jsonl", ".json")]
            lines, whole = (self._stack.enter_context(p.open("w", encoding="utf-8", newline="")) for p in paths)
            self._stack.callback(whole.write, "\n}")
            self._files[name] = lines, whole
        return self._files[name]

    def lines(self) -> list[str]:
        """One line about the whole and about each fold."""
        parts: dict[int, list[str]] = {}
        for (fold, split), count in sorted(self._folds.items()):
            parts.setdefault(fold, []).append(f"{count} {split}")
        whole = f"{self._dataset}: {counted(self._counts[self._dataset], 'clip')}"
        return [whole, *(f"fold {fold}: {', '.join(counts)}" for fold, counts in parts.items())]
