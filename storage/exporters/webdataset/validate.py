"""Validates tar shards, so that the `webdataset` package groups and decodes them."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from storage.exporters._shared.validation import array_problem, float_type, problems_in
from storage.exporters.webdataset.layout import INDEX_FILE, PARTS, key_of, member_of


def validate_folder(folder: Path) -> Iterator[str]:
    """Re-read all shards of an export.

    Yields:
        One line per problem, with shard, clip, field, what was expected and what was found.
    """
    index = json.loads((folder / INDEX_FILE).read_text(encoding="utf-8"))
    for name, clips in index["shards"].items():
        yield from _shard(folder, name, clips, index["columns"])


def _samples(tar: tarfile.TarFile) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Members with one key that follow each other, as the package groups them."""
    last: str = ""
    sample: dict[str, bytes] = {}
    for member in tar:
        key, _, rest = member.name.partition(".")
        if key != last and sample:
            yield last, sample
            sample = {}
        content = tar.extractfile(member)
        last, sample[rest] = key, content.read() if content else b""
    if sample:
        yield last, sample


def _arrays(where: str, sample: Mapping[str, bytes], columns: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for name, of_feature in columns.items():
        values, times, valid = (
            np.load(io.BytesIO(sample[member_of("", name, part)]), allow_pickle=False) for part in PARTS
        )
        steps = len(values) if values.ndim else 0
        yield from problems_in(
            [
                array_problem(f"{where}, {name}", values, (None, len(of_feature)), float_type(values)),
                array_problem(f"{where}, {name}.times", times, (steps, 2), np.float64),
                array_problem(f"{where}, {name}.valid", valid, (steps,), np.bool_),
            ]
        )


def _shard(folder: Path, name: str, clips: int, columns: Mapping[str, Sequence[str]]) -> Iterator[str]:
    expected = ["json", *(member_of("", feature, part) for feature in columns for part in PARTS)]
    seen: set[str] = set()
    with tarfile.open(folder / name) as tar:
        for key, sample in _samples(tar):
            where = f"{name}, clip {key}"
            if list(sample) != expected:
                yield f"{where}: expected members {', '.join(expected)}; got {', '.join(sample)}"
            elif key in seen or key_of(json.loads(sample["json"])["id"]) != key:
                yield f"{where}, id: expected the key's own id, each once, got {sample['json'].decode()[:80]}"
            else:
                yield from _arrays(where, sample, columns)
            seen.add(key)
    if len(seen) != clips:
        yield f"{name}: expected {clips} clips, got {len(seen)}"
