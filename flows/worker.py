"""One shard, from media to published shard files: a plain function, without Prefect or Dask.

Two stages overlap: a helper thread decodes the next clips and runs the extractors that need no model thread
(openSMILE, face detection), while this thread runs the networks on the current ones: one clip at a time on a CPU, as
many as the extractors can use at once on a GPU. Files are written once per shard and feature, which takes milliseconds.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from configs.schema import RunConfig
from extractors.core.extractor import Extractor
from extractors.core.media.clip_media import Media
from flows.plan import FACES, build_extractors, is_face_stage, missing_features
from configs.errors import RunError
from storage.clip import Clip
from storage.records import Failure, Features, Shard
from storage.store.shard_writer import Entry
from storage.store.store import FeatureStore

VERSIONS = ("merflow", "torch", "transformers", "opensmile", "py-feat", "av", "numpy", "h5py")
GROUP_BYTES = 1 << 30
_SKIP_RULES = {"no_audio": "no_audio", "no_channel": "no_audio", "no_video": "no_video", "no_text": "no_text"}


@dataclass(frozen=True, slots=True)
class Job:
    """A shard and everything a worker must know to extract it; travels to the worker.

    Attributes:
        shard: The clips.
        root: Folder that the clips' media paths start from.
        store: The store's folder.
        config: The run configuration.
        features: Names of the features to extract.
        run: Id of the run.
    """

    shard: Shard
    root: str
    store: str
    config: RunConfig
    features: tuple[str, ...]
    run: str


@dataclass(slots=True)
class ShardReport:
    """What became of a shard; small enough for Prefect.

    Attributes:
        shard: The shard's id.
        clips: Clips in it.
        failed_clips: Clips that failed for at least one feature.
        outcomes: How many (clip, feature) pairs were `stored`, `failed`, `skipped`, or found `already` stored.
        seconds: Wall seconds by stage: `decode`, `write`, each feature's name, and its parts as `feature.part`.
        decoded_again: Passes over pictures beyond the first, of clips whose pictures do not fit in memory.
    """

    shard: str
    clips: int
    failed_clips: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    decoded_again: int = 0


@dataclass(slots=True)
class _Ready:
    """A decoded clip on its way through the extractors."""

    clip: Clip
    media: Media
    outcomes: dict[str, Features | Failure] = field(default_factory=dict)


@lru_cache(maxsize=1)
def _extractors(config_json: str, features: tuple[str, ...]) -> dict[str, Extractor[Any]]:
    # Cached per process: weights stay loaded from shard to shard.
    config = RunConfig.model_validate_json(config_json)
    wanted = [e.feature_name for e in config.extractors if e.feature_name in features]
    return {e.feature: e for e in build_extractors(config, wanted) if e.feature in features}


def _load(extractors: Sequence[Extractor[Any]], threads: int) -> None:
    fresh = [e for e in extractors if not e.loaded]
    device = "cpu"
    if any(not e.runs_beside for e in fresh):
        from extractors.core.networks.runtime import choose_device, set_threads

        set_threads(threads)
        device = choose_device()
    for extractor in fresh:
        extractor.load(device)
        extractor.loaded = True


def versions() -> dict[str, str]:
    """Versions of the libraries that can change a number, for the shard file."""
    return {name: version(name) for name in VERSIONS}


def extract_shard(job: Job, on_clip: Callable[[Clip, bool], None] | None = None) -> ShardReport:
    """Extract what a shard's clips still miss, and publish it.

    What is already in the store is found here, in the worker, so that a shard that Dask runs twice costs nothing.

    Args:
        job: The shard and its surroundings.
        on_clip: Called after each clip with whether it failed; only for engines in this process.

    Raises:
        RunError: If the media folder is gone: recording every clip as failed would be wrong.
    """
    report = ShardReport(job.shard.id, len(job.shard.clips))
    store = _store(job.store, job.run)
    store.refresh()
    todo = {c.id: missing_features(store, c, job.features) for c in job.shard.clips}
    report.outcomes["already"] = sum(len(job.features) - len(m) for m in todo.values())
    wanted = {f for missing in todo.values() for f in missing}
    built = _extractors(job.config.model_dump_json(), job.features)
    extractors = {name: e for name, e in built.items() if name in wanted}
    _load(list(extractors.values()), job.config.cluster.threads)
    entries: dict[str, list[Entry]] = {name: [] for name in extractors}
    work = _Work(job, store, built, todo, report)
    for ready in work.run([c for c in job.shard.clips if todo[c.id]]):
        failed = _record(ready.clip, ready.outcomes, job.config, entries, report)
        report.failed_clips += failed
        if on_clip is not None:
            on_clip(ready.clip, failed)
    with _timed(report, "write"):
        attributes = {"run": job.run, "versions": versions()}
        for name, extractor in extractors.items():
            store.put(job.shard.id, extractor.spec, entries[name], attributes)
    return report


@lru_cache(maxsize=1)
def _store(path: str, run: str) -> FeatureStore:  # noqa: ARG001  # opened afresh for every run
    return FeatureStore(path)


def _record(
    clip: Clip,
    outcomes: dict[str, Features | Failure],
    config: RunConfig,
    entries: dict[str, list[Entry]],
    report: ShardReport,
) -> bool:
    failed = False
    for name, outcome in outcomes.items():
        settled = _by_rule(outcome, config)
        entries[name].append(Entry(clip.id, clip.fingerprint, settled))
        state = settled.state if isinstance(settled, Failure) else "stored"
        report.outcomes[state] += 1
        failed = failed or state == "failed"
    return failed


def _by_rule(outcome: Features | Failure, config: RunConfig) -> Features | Failure:
    if isinstance(outcome, Failure):
        rule = _SKIP_RULES.get(outcome.reason)
        if rule is not None and getattr(config, rule) == "skip":
            return replace(outcome, state="skipped")
    return outcome


class _Work:
    """The clips of one shard on their way through decoding and extractors."""

    def __init__(
        self,
        job: Job,
        store: FeatureStore,
        built: dict[str, Extractor[Any]],
        todo: dict[str, list[str]],
        report: ShardReport,
    ) -> None:
        self._job, self._store, self._built, self._todo, self._report = job, store, built, todo, report

    def run(self, clips: Sequence[Clip]) -> Iterator[_Ready]:
        """Every clip with its outcomes, in order.

        Raises:
            RunError: If the media folder is gone.
        """
        if not Path(self._job.root).is_dir():
            raise RunError(f"{self._job.root}: the media folder is not there")
        wanted = {name for clip in clips for name in self._todo[clip.id]}
        networks = [e for name, e in self._built.items() if name in wanted and not e.runs_beside]
        for group in self._groups(clips, max((e.clips_at_once for e in networks), default=1)):
            for extractor in networks:
                self._extract(extractor, group)
            for ready in group:
                self._report.decoded_again += max(0, ready.media.video_passes - 1)
                ready.media.close()
                yield ready

    def _groups(self, clips: Sequence[Clip], size: int) -> Iterator[list[_Ready]]:
        """Clips that go through the networks together, while a helper thread prepares the next ones."""
        rest = iter(clips)

        def prepare_some() -> list[_Ready]:
            group: list[_Ready] = []
            while len(group) < size and sum(r.media.kept_bytes for r in group) < GROUP_BYTES:
                clip = next(rest, None)
                if clip is None:
                    break
                group.append(self._prepare(clip))
            return group

        with ThreadPoolExecutor(1, "merflow-decode") as helper:
            ahead = helper.submit(prepare_some)
            while group := ahead.result():
                ahead = helper.submit(prepare_some)
                yield group

    def _prepare(self, clip: Clip) -> _Ready:
        chosen = [self._built[name] for name in self._todo[clip.id]]
        modalities = {e.modality for e in chosen}
        media = Media(clip, Path(self._job.root), audio="audio" in modalities, video="video" in modalities)
        with _timed(self._report, "decode"):
            media.decode()
        self._give_stored(clip, media, chosen)
        ready = _Ready(clip, media)
        for extractor in chosen:
            if extractor.runs_beside:
                self._extract(extractor, [ready])
        for extractor in chosen:
            if not extractor.runs_beside:
                extractor.prepare(media)
        return ready

    def _give_stored(self, clip: Clip, media: Media, chosen: Sequence[Extractor[Any]]) -> None:
        """What the store already knows about the clip and these extractors would else compute again."""
        extracted = {e.feature for e in chosen}
        for name in {need for e in chosen for need in e.needs} - extracted:
            outcome = self._store.outcome_of(clip.id, name)
            if outcome is not None and outcome.state != "stored":
                media.give(name, Failure(clip.id, name, outcome.reason, "failed in an earlier run"))
            elif outcome is not None:
                media.give(name, self._store.get(clip.id, name))
        if any(FACES in e.spec.recipe for e in chosen):
            for stage in (e for e in self._built.values() if is_face_stage(e) and e.feature not in extracted):
                if self._store.has(clip.id, stage.feature):
                    stage.remember(media, self._store.get(clip.id, stage.feature))

    def _extract(self, extractor: Extractor[Any], group: Sequence[_Ready]) -> None:
        batch = [ready for ready in group if extractor.feature in self._todo[ready.clip.id]]
        with _timed(self._report, extractor.feature):
            outcomes = extractor.extract([ready.media for ready in batch]) if batch else []
        for ready, outcome in zip(batch, outcomes, strict=True):
            ready.outcomes[extractor.feature] = outcome
            ready.media.give(extractor.feature, outcome)
        for part, seconds in extractor.seconds.items():
            self._report.seconds[f"{extractor.feature}.{part}"] += seconds
        extractor.seconds.clear()


@contextmanager
def _timed(report: ShardReport, stage: str) -> Iterator[None]:
    begin = time.perf_counter()
    try:
        yield
    finally:
        report.seconds[stage] += time.perf_counter() - begin
