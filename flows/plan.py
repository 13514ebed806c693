"""What a run will do: extractors, their specs, and the clips that still miss something.

Everything that can be wrong with a run is found here, before any work and before anything is written.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from configs.schema import RunConfig
from extractors.core.extractor import Extractor, build_extractor, resolve_dependencies
from extractors.core.faces.detectors import detector_weights
from configs.errors import RunError
from storage.manifest import Manifest
from storage.clip import Clip
from storage.records import Shard
from storage.store.store import FeatureStore

FACES = "faces"


def new_run_id() -> str:
    """A run's id: sorts by time, unique without asking anyone."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


def chosen_extractors(config: RunConfig, only: Iterable[str] | None = None) -> list[Extractor[Any]]:
    """Build the extractors that a configuration names, and those they need, without looking for their weights.

    Args:
        config: The run configuration.
        only: Names of the features to keep; all if None.

    Raises:
        RunError: An extractor or feature that does not exist.
        ConfigError: An option that does not exist.
    """
    entries = config.extractors
    built = {e.feature_name: build_extractor(e.name, e.feature_name, e.options, config.faces) for e in entries}
    if only is None:
        return list(built.values())
    unknown = sorted(set(only) - set(built))
    if unknown:
        raise RunError(f"unknown feature {unknown[0]!r}; features of this configuration: {', '.join(built)}")
    wanted = set(only)
    for _ in built:  # what is needed may need something itself
        wanted |= {name for feature in wanted & set(built) for name in built[feature].needs}
    return [extractor for feature, extractor in built.items() if feature in wanted]


def build_extractors(config: RunConfig, only: Iterable[str] | None = None) -> list[Extractor[Any]]:
    """Build the extractors of a configuration, each after those it needs, and the face stage where one looks at faces.

    Args:
        config: The run configuration.
        only: Names of the features to keep; all if None.

    Raises:
        RunError: An extractor, option or feature that does not exist, or weights that are not on this machine.
    """
    detector_weights(config.faces)  # a wrong name is worth saying before weights that could not be found
    built = resolve_dependencies(chosen_extractors(config, only))
    if any(FACES in extractor.spec.recipe for extractor in built):
        own = [e for e in built if is_face_stage(e)] or [build_extractor(FACES, FACES, {}, config.faces)]
        built = [*own, *(e for e in built if e not in own)]
    return built


def is_face_stage(extractor: Extractor[Any]) -> bool:
    """Whether an extractor is the face stage, whose stored result spares the others from detecting again."""
    return type(extractor).__module__ == f"extractors.{FACES}"


@dataclass(frozen=True, slots=True)
class Plan:
    """Counts of what a run will do.

    Attributes:
        clips: Clips in the manifest.
        todo: Clips that miss at least one feature.
        seconds: Media seconds of the clips in `todo`, as far as they could be probed.
    """

    clips: int
    todo: int
    seconds: float


def missing_features(store: FeatureStore, clip: Clip, features: Iterable[str]) -> list[str]:
    """Features that a clip still has to get.

    A failure counts as done while the media is the same; with other media the clip is tried again, and so is a clip
    whose file was not there.

    Raises:
        RunError: If values are stored that were made from other media of the same clip id.
    """
    missing = []
    for feature in features:
        outcome = store.outcome_of(clip.id, feature)
        if outcome is None or outcome.reason == "missing_file":
            missing.append(feature)
        elif outcome.state != "stored":
            missing += [feature] if outcome.fingerprint != clip.fingerprint else []
        elif outcome.fingerprint != clip.fingerprint:
            raise RunError(
                f"clip {clip.id}: its media, segment or text changed since {feature} was stored "
                f"(fingerprint {outcome.fingerprint}, now {clip.fingerprint}); use a new store, or the old media"
            )
    return missing


def survey(store: FeatureStore, manifest: Manifest, features: list[str]) -> Plan:
    """Count what is left to do.

    Raises:
        RunError: If values are stored that were made from other media of the same clip id.
    """
    clips = todo = 0
    seconds = 0.0
    for clip in manifest:
        clips += 1
        if missing_features(store, clip, features):
            todo += 1
            seconds += clip.duration or 0.0
    return Plan(clips, todo, seconds)


def make_shards(
    clips: Iterable[Clip], run: str, is_missing: Callable[[Clip], bool], most_seconds: float
) -> Iterator[Shard]:
    """Batch the clips that still miss something, in order, each shard of about equal media seconds.

    Clips whose length is unknown count one second.
    """
    batch: list[Clip] = []
    seconds = 0.0
    number = 0
    for clip in clips:
        if not is_missing(clip):
            continue
        batch.append(clip)
        seconds += clip.duration or 1.0
        if seconds >= most_seconds:
            yield Shard(f"{run}-{number:05d}", tuple(batch))
            batch, seconds, number = [], 0.0, number + 1
    if batch:
        yield Shard(f"{run}-{number:05d}", tuple(batch))


def shard_seconds(plan: Plan, workers: int, most: float) -> float:
    """Media seconds per shard: at least four shards per worker, so that no worker waits long for the last one."""
    return max(1.0, min(most, plan.seconds / (4 * workers)))


def adopt_manifest(store: FeatureStore, manifest: Manifest) -> Iterator[Clip]:
    """Clips of the store's manifest after a run with `manifest`: known ones updated in place, new ones at the end.

    Raises:
        RunError: If the store also holds clips from another media folder: their media could not be found again.
    """
    if not store.has_manifest:
        yield from manifest
        return
    incoming = {clip.id: clip for clip in manifest}
    moved = store.manifest.root.resolve() != manifest.root.resolve()
    for clip in store.clips():
        if moved and clip.id not in incoming:
            raise RunError(
                f"{store.path} holds clip {clip.id} from {store.manifest.root}, this manifest's media are in "
                f"{manifest.root}; use one manifest with one media folder, or another store"
            )
        yield incoming.pop(clip.id, clip)
    yield from incoming.values()


def with_engine(config: RunConfig, engine: str | None, workers: int | None) -> RunConfig:
    """The configuration with what the command line says about the cluster."""
    changes = {k: v for k, v in (("engine", engine), ("workers", workers)) if v is not None}
    return config.model_copy(update={"cluster": config.cluster.model_copy(update=changes)})
