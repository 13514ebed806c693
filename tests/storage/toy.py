"""A small store for the tests of exporters: two features with masks, words, token ids and an utterance vector."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from storage.clip import Clip
from storage.records import Features, FeatureSpec
from storage.store.store import FeatureStore
from tests import exports

HOPS = {"gemaps": 0.01, "action_units": 0.04, "words": 0.25, "tokens": 0.2}
AUDIO = FeatureSpec(
    "gemaps", "gemaps", "audio", "frame", tuple(f"g{i}" for i in range(18)), hop=0.01, source="openSMILE"
)
FACE = FeatureSpec("action_units", "action_units", "video", "frame", ("AU01_r", "AU01_c", "x_0"), source="py-feat")
WORDS = FeatureSpec("words", "text", "text", "frame", ("w0", "w1"), source="a language model")
TOKENS = FeatureSpec("tokens", "text", "text", "frame", ("attention_mask", "input_ids", "token_type_ids"))
VOICE = FeatureSpec("voice", "hubert", "audio", "utterance", tuple(f"h{i}" for i in range(5)), source="HuBERT")
SPECS = {spec.name: spec for spec in (AUDIO, FACE, WORDS, TOKENS, VOICE)}
# Two clips of one video each; the last one has no face at all.
SECONDS = {"a.1": 0.5, "a.2": 1.0, "b1": 0.8, "b2": 0.6, "c1": 1.2, "c2": 0.7, "d1": 0.4}
SPLITS = dict(zip(SECONDS, ("train", "val", "train", "test", "train", "val", "test"), strict=True))
WORDING = {"a.1": ("hap", "happy"), "b1": ("exc", "happy"), "c1": ("xxx", None)}
NO_FACE = "d1"
CLS = 101


def clips() -> list[Clip]:
    return [_clip(i, clip_id) for i, clip_id in enumerate(SECONDS)]


def _clip(i: int, clip_id: str) -> Clip:
    raw, label = WORDING.get(clip_id, ("sad", "sad"))
    return Clip(
        clip_id,
        video=f"video/{clip_id}.mp4",
        split=SPLITS[clip_id],
        text=f"kata {i}, “ya”",
        speaker=f"s{i % 4}",
        group=clip_id[0],
        label=label,
        label_raw=raw,
        labels={"text": "positif", "audio": "netral", "video": "negatif"},
        dimensions={"sentiment": (i - 3) / 3, "arousal_T": 0.1, "arousal_A": 0.2, "arousal_V": 0.3, "arousal": i / 10},
        duration=SECONDS[clip_id],
    )


def features(name: str, clip_id: str) -> Features:
    """A clip's values: the same ones for the same names, always."""
    spec, seconds = SPECS[name], SECONDS[clip_id]
    seed = list(f"{name}/{clip_id}".encode())
    n_rows = round(seconds / HOPS[name]) if name in HOPS else 1
    hop = seconds / n_rows if name not in HOPS else HOPS[name]
    values = np.random.default_rng(seed).uniform(0.1, 1, (n_rows, len(spec.columns))).astype(np.float32)
    start = np.arange(n_rows) * hop
    valid = np.ones(n_rows, np.bool_)
    if name == "tokens":
        values = np.column_stack([np.ones(n_rows), np.r_[CLS, 7 * np.arange(1, n_rows)], np.zeros(n_rows)])
    if name == "action_units":
        valid = (np.arange(n_rows) % 5 != 3) & (clip_id != NO_FACE)
        values[~valid] = np.nan
    return Features(values.astype(np.float32), np.stack([start, start + hop], axis=1), valid)


def make_store(
    folder: Path,
    names: Sequence[str] = ("gemaps", "action_units", "words", "voice"),
    of_clips: Sequence[Clip] | None = None,
    without: Iterable[tuple[str, str]] = (),
    shards: Sequence[Sequence[int]] | None = None,
) -> FeatureStore:
    """Make a store.

    Args:
        folder: Where.
        names: Its features.
        of_clips: Its clips; default `clips()`.
        without: Clips and features that failed.
        shards: Places of the clips of each shard, in the order in which shards finish; default one shard.
    """
    listed = list(of_clips or clips())
    values = {(clip.id, name): features(name, clip.id) for clip in listed for name in names}
    specs = [SPECS[name] for name in names]
    return exports.make_store(
        folder, listed, specs, without=list(without), shards=shards, replaced=values, corpus="toy"
    )
