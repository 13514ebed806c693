"""What travels between a run and its workers: the run's context, shards with their work, and reports. Plain data."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path

from configs.errors import RunError
from configs.paths import as_path
from configs.plugins import Section
from flows.unforeseen import Unforeseen
from storage.clip import Clip
from storage.records import Failure, FeatureSpec, Shard
from storage.store.index import Location
from storage.store.shard_reader import ShardContents

VERSIONS = ("merflow", "torch", "transformers", "opensmile", "py-feat", "av", "numpy", "pillow", "scipy", "h5py")


@dataclass(frozen=True)
class FeaturePlan:
    """One feature of a run: what to build for it, and what comes out.

    Attributes:
        extractor: Name of the extractor.
        feature: Name of the feature.
        options: The extractor's options, checked.
        spec: What its numbers are, as the planner knows it.
        inputs: Specs of the features that it is computed from.
    """

    extractor: str
    feature: str
    options: Section
    spec: FeatureSpec
    inputs: Mapping[str, FeatureSpec] = field(default_factory=dict)


@dataclass(frozen=True)
class RunContext:
    """What all shards of a run have in common; travels to the workers.

    Attributes:
        run: Id of the run.
        roots: Media folders by the name that clips have in `root`, absolute; the first is that of clips without.
        store: The store's folder, absolute.
        features: The features, each after those it needs.
        threads: Threads of each worker's model arithmetic.
        deinterlace: Whether interlaced frames are made whole.
        skipped_reasons: Reasons that count as skipped by rule, not as failed.
        generation: Of the run's results; of two results the one of the higher generation counts.
        publish_seconds: Seconds after which finished clips are published at the latest.
        clip_seconds: Seconds that one clip may take, beside those that its length allows.
        seconds_per_second: Seconds that one second of media may take.
        memory_bytes: Memory that a worker may hold; 0 for its share of its machine's.
        memory_share: That share, 0..1.
        versions: Of the libraries where the run was planned; a worker with others is refused.
    """

    run: str
    roots: Mapping[str, str]
    store: str
    features: tuple[FeaturePlan, ...]
    threads: int = 1
    deinterlace: bool = False
    skipped_reasons: frozenset[str] = frozenset()
    generation: int = 0
    publish_seconds: float = 30.0
    clip_seconds: float = 60.0
    seconds_per_second: float = 600.0
    memory_bytes: int = 0
    memory_share: float = 0.9
    versions: Mapping[str, str] = field(default_factory=dict)

    def limit(self, clip: Clip) -> float:
        """Seconds that work on a clip may take."""
        return self.clip_seconds + self.seconds_per_second * (clip.duration or 0.0)

    @property
    def specs(self) -> dict[str, FeatureSpec]:
        """What each feature's numbers are."""
        return {plan.feature: plan.spec for plan in self.features}

    def root_of(self, clip: Clip) -> Path:
        """Folder that a clip's paths are relative to."""
        return as_path(next(iter(self.roots.values())) if clip.root is None else self.roots[clip.root])


@dataclass(frozen=True)
class Job:
    """A shard and what to do with it.

    Attributes:
        shard: The clips.
        todo: The features that each clip still misses, with the number of the attempt: `{clip id: {feature: 1}}`.
        context: What it has in common with the run's other shards.
        stored: Features that these are computed from and that are stored already, by clip and feature: where their
            values lie, or why there are none.
        not_on: Address of a worker that must not have it: it could not do it.
    """

    shard: Shard
    todo: Mapping[str, Mapping[str, int]]
    context: RunContext
    stored: Mapping[str, Mapping[str, Location | Failure]] = field(default_factory=dict)
    not_on: str = ""


@dataclass(slots=True)
class ShardReport:
    """What became of a shard; small enough for Prefect.

    Attributes:
        shard: The shard's id.
        clips: Clips in it.
        failed_clips: Clips that failed for at least one feature.
        outcomes: How many (clip, feature) pairs were `stored`, `failed`, `skipped`, or found `already` stored.
        flags: How many clips had what unusual media, by the flags' names.
        seconds: Wall seconds by stage: `decode`, `write`, each feature's name, and its parts as `feature.part`.
        decoded_again: Passes over frames beyond the first, of clips whose frames do not fit in memory.
        succeeded: Features that have values for at least one clip.
        unforeseen: Errors of which it is not known yet whether they are their clips' own; not recorded.
        stopped: Whether the worker was asked to stop before all clips were done.
        worker: The worker's machine and process.
        address: Where that worker is reached; empty where there is but one.
        wall: Seconds that the shard took.
        waited: Seconds of them in which loaded networks had nothing to do: the next clips were not decoded.
        failures: Why clips have no values, but for what is skipped by rule.
    """

    shard: str
    clips: int
    failed_clips: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    flags: Counter[str] = field(default_factory=Counter)
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    decoded_again: int = 0
    succeeded: set[str] = field(default_factory=set)
    unforeseen: list[Unforeseen] = field(default_factory=list)
    stopped: bool = False
    worker: str = ""
    address: str = ""
    wall: float = 0.0
    waited: float = 0.0
    failures: list[Failure] = field(default_factory=list)


def remaining(job: Job, published: Iterable[ShardContents]) -> Job:
    """What is left of a job after some of its files were published.

    Args:
        job: The job.
        published: What the shard's files hold.

    Returns:
        The job with the clips and features that still miss something, and with those that were published as stored.
    """
    stored: dict[str, dict[str, Location | Failure]] = {clip_id: dict(of) for clip_id, of in job.stored.items()}
    for contents in published:
        for clip_id, row in contents.rows.items():
            found = Location(contents.path, row.start, row.stop, contents.arrays)
            stored.setdefault(clip_id, {})[contents.spec.name] = found
        for failed in contents.failures:
            stored.setdefault(failed.failure.clip_id, {})[contents.spec.name] = failed.failure
    todo = {
        clip_id: {name: attempt for name, attempt in names.items() if name not in stored.get(clip_id, {})}
        for clip_id, names in job.todo.items()
    }
    return replace(job, todo={clip_id: names for clip_id, names in todo.items() if names}, stored=stored)


OnClip = Callable[[Clip, bool], None]


def versions(names: Sequence[str] = VERSIONS) -> dict[str, str]:
    """Versions of libraries, for the shard file; each is looked up once.

    Args:
        names: Names of packages; default all that can change a number.
    """
    return {name: _version(name) for name in names}


def refuse_other_versions(worker: str, planned: Mapping[str, str], there: Mapping[str, str]) -> None:
    """Refuse a worker whose numbers may differ.

    Args:
        worker: Its name, for people.
        planned: Versions where the run was planned.
        there: The worker's.

    Raises:
        RunError: Names the library and both versions.
    """
    for name, expected in planned.items():
        if there.get(name) != expected:
            raise RunError(
                f"worker {worker} has {name} {there.get(name)}, this run was planned with {expected}: their numbers "
                f"may differ; install the same versions on all workers"
            )


@cache
def _version(name: str) -> str:
    return version(name)
