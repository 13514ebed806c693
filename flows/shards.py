"""Cuts a plan into shards of the right size: bounded by clips, media seconds and bytes of results together.

Long clips go first within a look-ahead, so that no worker waits long for the last one; segments of one file that are
neighbours stay together, in order, so that a worker goes through the file once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice

import numpy as np

from flows.job import Job, RunContext
from flows.plan import Plan, crop_roots
from storage.clip import Clip
from storage.identity import CROPS, with_beside
from storage.manifest import Manifest
from storage.records import Failure, FeatureSpec, Shard
from storage.released_crops import crops_digest
from storage.store.index import Index, Location

MOST_CLIPS = 512
MOST_BYTES = 256 << 20
LOOK_AHEAD = 1000
_UNPROBED_SECONDS = 5.0
_USUAL_HOP = 0.04


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where a shard is full.

    Attributes:
        seconds: Of media.
        clips: Number of clips.
        bytes: Of results, estimated.
    """

    seconds: float
    clips: int = MOST_CLIPS
    bytes: int = MOST_BYTES


@dataclass(frozen=True, slots=True)
class _Work:
    """A clip with what it misses, and what that costs."""

    clip: Clip
    missing: dict[str, int]
    seconds: float
    bytes: float

    @property
    def file(self) -> tuple[str | None, str | None, str | None]:
        return self.clip.root, self.clip.video, self.clip.audio

    @property
    def is_segment(self) -> bool:
        return self.clip.start is not None or self.clip.end is not None


def bounds(plan: Plan, workers: int, most_seconds: float) -> Bounds:
    """Bounds of a run's shards: at least four shards per worker where there is that much to do.

    Args:
        plan: The plan.
        workers: Shards that run at the same time.
        most_seconds: Most seconds of media in one shard.
    """
    shares = 4 * workers
    seconds = plan.seconds + _UNPROBED_SECONDS * plan.todo
    clips = max(1, min(MOST_CLIPS, -(-plan.todo // shares)))
    return Bounds(max(1.0, min(most_seconds, seconds / shares)), clips)


def make_jobs(plan: Plan, manifest: Manifest, index: Index, context: RunContext, full: Bounds) -> Iterator[Job]:
    """The work of a plan as shards.

    Args:
        plan: The plan.
        manifest: The manifest that it was made of.
        index: Where stored features lie that others are computed from.
        context: What the shards have in common.
        full: Where a shard is full.
    """
    needs = {feature.feature: tuple(feature.inputs) for feature in context.features}
    for number, batch in enumerate(_batches(_work(plan, manifest, context), full)):
        todo = {work.clip.id: work.missing for work in batch}
        stored = {work.clip.id: found for work in batch if (found := _stored(index, work, needs))}
        yield Job(Shard(f"{context.run}-{number:05d}", tuple(w.clip for w in batch)), todo, context, stored)


def _work(plan: Plan, manifest: Manifest, context: RunContext) -> Iterator[_Work]:
    specs = [context.specs[name] for name in plan.features]
    rate = np.array([_bytes_a_second(spec) for spec in specs])
    width = np.array([4.0 * len(spec.columns) for spec in specs])
    needs_media = np.array([spec.modality != "text" for spec in specs])
    has_crops = np.array([CROPS in spec.clip_inputs for spec in specs])
    roots = set(crop_roots(context.features).values())
    root = roots.pop() if len(roots) == 1 else None  # of several, a clip could not say which
    clips = manifest.take(plan.rows)
    for clip, missing, attempts in zip(clips, plan.missing, plan.attempts, strict=True):
        seconds = (clip.duration or _UNPROBED_SECONDS) if needs_media[missing].any() else 0.0
        size = float((rate[missing] * seconds + width[missing]).sum())
        names = {plan.features[i]: int(attempts[i]) for i in np.flatnonzero(missing)}
        if root is not None and has_crops[missing].any():
            clip = with_beside(clip, {CROPS: crops_digest(root, clip)})  # noqa: PLW2901
        yield _Work(clip, names, seconds, size)


def _bytes_a_second(spec: FeatureSpec) -> float:
    return 0.0 if spec.level == "utterance" else 4.0 * len(spec.columns) / (spec.hop or _USUAL_HOP)


def _batches(works: Iterator[_Work], full: Bounds) -> Iterator[list[_Work]]:
    batch: list[_Work] = []
    seconds = size = 0.0
    for work in _ordered(works):
        is_over = seconds + work.seconds > full.seconds or size + work.bytes > full.bytes or len(batch) >= full.clips
        if batch and is_over:
            yield batch
            batch, seconds, size = [], 0.0, 0.0
        batch.append(work)
        seconds, size = seconds + work.seconds, size + work.bytes
    if batch:
        yield batch


def _ordered(works: Iterator[_Work]) -> Iterator[_Work]:
    """Long clips first within the look-ahead; segments of one file as one, in order."""
    while ahead := list(islice(works, LOOK_AHEAD)):
        groups: list[Sequence[_Work]] = [[work] for work in ahead if not work.is_segment]
        by_file = sorted((work for work in ahead if work.is_segment), key=lambda w: (str(w.file), w.clip.start or 0.0))
        groups += [list(group) for _, group in groupby(by_file, key=lambda work: work.file)]
        for group in sorted(groups, key=lambda group: -sum(work.seconds for work in group)):
            yield from group


def _stored(index: Index, work: _Work, needs: dict[str, tuple[str, ...]]) -> dict[str, Location | Failure]:
    """Where the features lie that a clip's missing ones are computed from, or why they are not there."""
    wanted = {need for name in work.missing for need in needs[name]} - work.missing.keys()
    found: dict[str, Location | Failure] = {}
    for name in sorted(wanted):
        known = index.location(name, work.clip.id) or index.failure(name, work.clip.id)
        if known is not None:
            found[name] = known
    return found


def singles(job: Job, ids: Collection[str]) -> Iterator[Job]:
    """Some clips of a shard, each as a shard of its own.

    Args:
        job: The shard.
        ids: Which clips.
    """
    for number, clip in enumerate(job.shard.clips):
        if clip.id in ids:
            yield part_of(job, f"{job.shard.id}-{number:03d}", (clip,))


def without(job: Job, ids: Collection[str]) -> Job:
    """A shard that is tried again, without some of its clips.

    Args:
        job: The shard.
        ids: Which clips.
    """
    return _left(job, "again", ids)


def elsewhere(job: Job, worker: str) -> Job:
    """What is left of a shard, for another worker.

    Args:
        job: What is left of it.
        worker: Address of the worker that must not have it again.
    """
    return replace(_left(job, "elsewhere"), not_on=worker)


def _left(job: Job, why: str, ids: Collection[str] = ()) -> Job:
    kept = [clip for clip in job.shard.clips if clip.id in job.todo and clip.id not in ids]
    return part_of(job, next_name(job.shard.id, why), kept)


def next_name(shard: str, why: str) -> str:
    """Id of what is left of a shard, which stays short however often that happens.

    Args:
        shard: Id of the shard, or of what was left of it before.
        why: A word.

    >>> next_name("r-00001", "again"), next_name("r-00001-again1", "again"), next_name("r-00001-again1-003", "again")
    ('r-00001-again1', 'r-00001-again2', 'r-00001-again1-003-again1')
    """
    origin, _, number = shard.rpartition(f"-{why}")
    return f"{origin}-{why}{int(number) + 1}" if origin and number.isdecimal() else f"{shard}-{why}1"


def part_of(job: Job, name: str, clips: Sequence[Clip]) -> Job:
    """Some clips of a shard as a shard of their own.

    Args:
        job: The shard.
        name: Id of the new one.
        clips: Which clips.
    """
    todo = {clip.id: job.todo[clip.id] for clip in clips}
    stored = {clip.id: job.stored.get(clip.id, {}) for clip in clips}
    return replace(job, shard=Shard(name, tuple(clips)), todo=todo, stored=stored)
