"""A small store with everything that the export formats ask for, and the files of an export."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from storage.clip import Clip
from storage.manifest import write_manifest
from storage.records import Failure, Features, FeatureSpec
from storage.store.runs import write_run
from storage.store.shard_writer import Entry
from storage.store.store import FeatureStore
from storage.vocabulary.openface_columns import OPENFACE_COLUMNS


def wide(kind: str, width: int = 1024) -> tuple[str, ...]:
    return tuple(f"{kind}_{i}" for i in range(width))


GEMAPS = FeatureSpec(
    "gemaps",
    "gemaps",
    "audio",
    "frame",
    wide("g", 18),
    hop=0.01,
    window=0.02,
    recipe={"feature_set": "GeMAPSv01b"},
    source="openSMILE 3.0",
)
ACTION_UNITS = FeatureSpec(
    "action_units", "action_units", "video", "frame", ("extra", *OPENFACE_COLUMNS), source="py-feat 2.1"
)
FACES = FeatureSpec(
    "faces", "faces", "video", "frame", ("x1", "y1", "x2", "y2", "confidence", "face_count", "detected")
)
HUBERT = FeatureSpec(
    "hubert",
    "hubert",
    "audio",
    "frame",
    wide("hubert"),
    hop=0.02,
    window=0.025,
    recipe={"recipe": "mer2023"},
    weights={"repo": "TencentGameMate/chinese-hubert-large", "sha256": "a" * 64},
)
MAE = FeatureSpec("mae", "mae", "video", "frame", wide("mae"), weights={"file": "mae_checkpoint-340.pth"})
VIDEOMAE = FeatureSpec("videomae", "videomae", "video", "utterance", wide("videomae"))
SPECS = (GEMAPS, ACTION_UNITS, FACES, HUBERT, MAE, VIDEOMAE)

# Frames of each clip, 25 a second.
FRAMES = {"clip_2_Cooking_1": 10, "clip_1_Test_2": 25, "clip_1_Test_1": 31, "clip_3_News_1": 40}
_LABELS = {"audio": "netral", "text": "negatif", "video": "negatif"}


def _clip(clip_id: str, split: str, text: str, words: tuple[str, str, str], valence: float, **more: str) -> Clip:
    label, raw, sentiment = words
    media = {"video": f"media/{clip_id}.mp4", "audio": f"media/{clip_id}.wav"}
    labels, dimensions = {**_LABELS, "sentiment": sentiment}, {"valence": valence}
    known = {"text": text, "label": label, "label_raw": raw, "labels": labels, "dimensions": dimensions}
    return Clip(clip_id, split=split, **media, **known, **more)


CLIPS = (
    _clip("clip_2_Cooking_1", "train", "dua, «tiga»", ("sad", "kesedihan", "negatif"), -1.5),
    _clip("clip_1_Test_2", "train", "Tidak?", ("neutral", "netral", "netral"), 0.25, speaker="07", group="1"),
    _clip("clip_1_Test_1", "val", 'Wah, "ok"', ("happy", "kebahagiaan", "positif"), 2.0, group="1"),
    _clip("clip_3_News_1", "test", "Habis.", ("surprise", "surprise", "positif"), 1.0),
)


def features(spec: FeatureSpec, clip_id: str, frames: int) -> Features:
    """Seeded numbers in the ranges of the columns; every fifth frame has no face, HuBERT and GeMAPS have no gaps."""
    seconds = frames / 25
    hop = {"gemaps": 0.01, "hubert": 0.02}.get(spec.extractor, 0.04)
    n = 1 if spec.level == "utterance" else round(seconds / hop) - (hop < 0.04)
    rng = np.random.default_rng([len(spec.columns), *clip_id.encode()])
    values = rng.uniform(0.1, 1, (n, len(spec.columns))).astype(np.float32)
    binary = [i for i, name in enumerate(spec.columns) if name.startswith("AU") and name.endswith("_c")]
    values[:, binary] = rng.integers(0, 2, (n, len(binary)))
    valid = np.ones(n, np.bool_)
    if spec.name in {"action_units", "faces"}:
        valid = np.arange(n) % 5 != 3
    if spec.name == "faces":
        values[:, :4] = [40, 30, 80, 80]
    values[~valid] = np.nan
    start = np.arange(n) * hop
    length = seconds if spec.level == "utterance" else {"gemaps": 0.02, "hubert": 0.025}.get(spec.extractor, hop)
    return Features(values, np.stack([start, start + length], axis=1), valid)


def make_store(
    path: Path,
    clips: Sequence[Clip] = CLIPS,
    specs: Sequence[FeatureSpec] = SPECS,
    *,
    without: Sequence[tuple[str, str]] = (),
    shards: Sequence[Sequence[int]] | None = None,
    replaced: dict[tuple[str, str], Features] | None = None,
    corpus: str = "test",
) -> FeatureStore:
    """Make a store.

    Args:
        path: Its folder.
        clips: In manifest order.
        specs: Its features.
        without: Clips and features that failed.
        shards: Clips of each shard by their place, in the order in which the shards finished; default one shard.
        replaced: Values to store instead.
        corpus: Name of the corpus.
    """
    store = FeatureStore.create(path)
    write_manifest(path / "manifest.parquet", clips, root=path, corpus=corpus)
    for number, places in enumerate(shards or [range(len(clips))]):
        for spec in specs:
            entries = []
            for clip in (clips[i] for i in places):
                key = (clip.id, spec.name)
                values = (replaced or {}).get(key) or features(spec, clip.id, FRAMES.get(clip.id, 20))
                failed = Failure(clip.id, spec.name, "no_audio", "x")
                entries.append(Entry(clip.id, failed if key in without else values))
            store.put(f"r-{number}", spec, entries, {})
    write_run(store.path, "r", {"run": "r", "started": "today", "versions": {"av": "16"}, "config": {}})
    return store


def synthetic(spec: FeatureSpec) -> FeatureSpec:
    """The same feature made with random weights."""
    return replace(spec, synthetic=True, weights={"random": 0})


def contents(path: Path) -> dict[str, bytes]:
    """The bytes of an export's files by name; of a Lance table, whose files have random names, those of its rows."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    plain = [file for file in files if ".lance/" not in file.as_posix()]
    tables = {p.relative_to(path).as_posix(): _rows_of(p) for p in sorted(path.glob("*.lance"))}
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in plain} | tables


def _rows_of(table: Path) -> bytes:
    import lance

    rows = lance.dataset(str(table)).to_table()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema.remove_metadata()) as stream:
        stream.write_table(rows.combine_chunks().replace_schema_metadata(None))
    return sink.getvalue().to_pybytes()


def peak_of(call: Callable[[], object]) -> int:
    """Most bytes that a call held at once beyond what was there before, counted by tracemalloc."""
    gc.collect()
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def problems_of(
    check: Callable[[Path], Iterable[str]], export: Path, copy: Path, damage: Callable[[Path], object]
) -> tuple[list[str], list[str]]:
    """What a validator says of a copy of an export, and of the copy once it is damaged."""
    for name, data in contents(export).items():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes(data)
    before = list(check(copy))
    damage(copy)
    return before, list(check(copy))
