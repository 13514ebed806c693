"""One shard, from media to published shard files: a plain function, without Prefect or Dask.

Two stages overlap: a helper thread decodes the next clip and runs the extractors that need no model thread
(openSMILE, face detection), while this thread runs the networks on the current one. Files are written once per
shard and feature, which takes milliseconds.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from configs.schema import RunConfig
from extractors.core.base import Extractor
from extractors.core.media import Media
from flows.plan import build_extractors, missing_features
from storage.errors import ClipError, RunError
from storage.records import Clip, Failure, Features, Shard
from storage.shard_file import Entry
from storage.store import FeatureStore

VERSIONS = ("merflow", "torch", "transformers", "opensmile", "py-feat", "av", "numpy", "h5py")
_SKIP_RULES = {"no_audio": "no_audio", "no_channel": "no_audio", "no_video": "no_video"}


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
        seconds: Wall seconds by stage: `decode`, `write`, and each feature's name.
    """

    shard: str
    clips: int
    failed_clips: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))


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
        from extractors.core.torch_runtime import choose_device, set_threads

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
    clips = [c for c in job.shard.clips if todo[c.id]]
    for clip, outcomes in _outcomes(job, clips, todo, extractors, report):
        failed = _record(clip, outcomes, job.config, entries, report)
        report.failed_clips += failed
        if on_clip is not None:
            on_clip(clip, failed)
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


def _outcomes(
    job: Job,
    clips: Sequence[Clip],
    todo: dict[str, list[str]],
    extractors: dict[str, Extractor[Any]],
    report: ShardReport,
) -> Iterator[tuple[Clip, dict[str, Features | Failure]]]:
    if not Path(job.root).is_dir():
        raise RunError(f"{job.root}: the media folder is not there")

    def prepare(clip: Clip) -> tuple[Media, dict[str, Features | Failure]]:
        chosen = [extractors[name] for name in todo[clip.id]]
        media = _decode(clip, job, chosen, report)
        return media, _run(media, [e for e in chosen if e.runs_beside], report)

    with ThreadPoolExecutor(1, "merflow-decode") as helper:
        ahead: Future[tuple[Media, dict[str, Features | Failure]]] | None = None
        for position, clip in enumerate(clips):
            media, outcomes = (ahead or helper.submit(prepare, clip)).result()
            following = clips[position + 1] if position + 1 < len(clips) else None
            ahead = helper.submit(prepare, following) if following is not None else None
            chosen = [extractors[name] for name in todo[clip.id]]
            outcomes |= _run(media, [e for e in chosen if not e.runs_beside], report)
            media.close()
            yield clip, outcomes


def _decode(clip: Clip, job: Job, extractors: Sequence[Extractor[Any]], report: ShardReport) -> Media:
    modalities = {e.modality for e in extractors}
    media = Media(clip, Path(job.root), audio="audio" in modalities, video="video" in modalities)
    with _timed(report, "decode"):
        media.decode()
    return media


def _run(media: Media, extractors: Sequence[Extractor[Any]], report: ShardReport) -> dict[str, Features | Failure]:
    outcomes: dict[str, Features | Failure] = {}
    for extractor in extractors:
        with _timed(report, extractor.feature):
            try:
                (outcomes[extractor.feature],) = extractor.extract([media])
            except ClipError as error:
                outcomes[extractor.feature] = extractor.failure(media, error)
    return outcomes


@contextmanager
def _timed(report: ShardReport, stage: str) -> Iterator[None]:
    begin = time.perf_counter()
    try:
        yield
    finally:
        report.seconds[stage] += time.perf_counter() - begin
