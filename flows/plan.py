"""What a run will do: its extractors in order, and the clips that still miss something.

Everything that can be wrong with a run is found here, before any work and before anything is written.
"""

from __future__ import annotations

import secrets
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from configs.errors import RunError
from configs.schema import ExtractorEntry, RunConfig
from extractors.core.extractor import EXTRACTORS, Extractor, build_extractor, resolve_dependencies
from flows.job import FeaturePlan, Job, RunContext
from storage.clip import Clip
from storage.manifest import Manifest
from storage.records import Shard
from storage.store.store import FeatureStore


def new_run_id() -> str:
    """A run's id: sorts by time, unique without asking anyone."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


def chosen_extractors(config: RunConfig, only: Iterable[str] | None = None) -> list[Extractor[Any]]:
    """Build the extractors of a configuration and those they need, without looking for their weights.

    A top-level section that is called like an extractor (such as `faces:`) holds that extractor's options, and adds it
    where another one needs it.

    Args:
        config: The run configuration.
        only: Names of the features to keep, beside those they need; all if None.

    Raises:
        RunError: An extractor or feature that does not exist.
        ConfigError: An option that does not exist.
    """
    sections = [name for name in EXTRACTORS.names() if config.section_of(name) is not None]
    available = {name: _build(config, ExtractorEntry(name=name)) for name in sections}
    configured = {entry.feature_name: _build(config, entry) for entry in config.extractors}
    available |= configured
    wanted = dict.fromkeys(configured if only is None else only)
    unknown = sorted(set(wanted) - set(available))
    if unknown:
        raise RunError(f"unknown feature {unknown[0]!r}; features of this configuration: {', '.join(configured)}")
    for _ in available:  # what is needed may need something itself
        wanted |= dict.fromkeys(n for feature in wanted if feature in available for n in available[feature].needs)
    return [extractor for feature, extractor in available.items() if feature in wanted]


def build_extractors(config: RunConfig, only: Iterable[str] | None = None) -> list[Extractor[Any]]:
    """Build the extractors of a configuration and those they need, each after those it needs.

    Args:
        config: The run configuration.
        only: Names of the features to keep, beside those they need; all if None.

    Raises:
        RunError: An extractor, option or feature that does not exist, or weights of a needed feature that are not on
            this machine.
    """
    chosen = chosen_extractors(config, only)
    for extractor in chosen:
        extractor.deinterlace = config.deinterlace == "auto"
    extractors = resolve_dependencies(chosen)
    for extractor in extractors:
        _ = extractor.spec  # looks for the weights
    return extractors


def _build(config: RunConfig, entry: ExtractorEntry) -> Extractor[Any]:
    section = config.section_of(entry.name)
    options = {} if section is None else section.model_dump(exclude_unset=True)
    return build_extractor(entry.name, entry.feature_name, options | entry.options)


@dataclass
class Plan:
    """What a run will do, clip by clip; built in one pass over the clips.

    Attributes:
        features: Names of the features, in the order in which they are extracted.
        clips: Clips in the manifest.
        todo: Clips that miss at least one feature.
        seconds: Media seconds of the clips in `todo`, as far as they could be probed.
    """

    features: tuple[str, ...]
    clips: int = 0
    todo: int = 0
    seconds: float = 0.0
    _rows: array[int] = field(default_factory=lambda: array("q"), repr=False)  # places of the clips in the manifest
    _masks: bytearray = field(default_factory=bytearray, repr=False)  # one byte per such clip and feature
    _attempts: dict[tuple[int, str], int] = field(default_factory=dict, repr=False)

    def add(self, store: FeatureStore, clip: Clip) -> None:
        """Take in the next clip of the manifest.

        Args:
            store: What is stored already.
            clip: The clip.

        Raises:
            RunError: If values are stored that were made from other media of the same clip id.
        """
        missing = missing_features(store, clip, self.features)
        if missing:
            self._attempts |= {(self.clips, name): attempt for name, attempt in missing.items() if attempt > 1}
            self._rows.append(self.clips)
            self._masks.extend(name in missing for name in self.features)
            self.todo += 1
            self.seconds += clip.duration or 0.0
        self.clips += 1

    def follow(self, store: FeatureStore, clips: Iterable[Clip]) -> Iterator[Clip]:
        """Pass clips on, and take each of them in.

        Args:
            store: What is stored already.
            clips: The clips of the manifest, in order.

        Raises:
            RunError: If values are stored that were made from other media of the same clip id.
        """
        for clip in clips:
            self.add(store, clip)
            yield clip

    def jobs(self, clips: Iterable[Clip], context: RunContext, most_seconds: float) -> Iterator[Job]:
        """The work as shards in order, each of about equal media seconds.

        Clips whose length is unknown count one second.

        Args:
            clips: The clips of the manifest, in the order in which they were taken in.
            context: What the shards have in common.
            most_seconds: Media seconds at which a shard is full.
        """
        batch: dict[str, dict[str, int]] = {}
        of_batch: list[Clip] = []
        seconds, number = 0.0, 0
        for clip, missing in self._missing(clips):
            of_batch.append(clip)
            batch[clip.id] = missing
            seconds += clip.duration or 1.0
            if seconds >= most_seconds:
                yield Job(Shard(f"{context.run}-{number:05d}", tuple(of_batch)), batch, context)
                batch, of_batch, seconds, number = {}, [], 0.0, number + 1
        if of_batch:
            yield Job(Shard(f"{context.run}-{number:05d}", tuple(of_batch)), batch, context)

    def _missing(self, clips: Iterable[Clip]) -> Iterator[tuple[Clip, dict[str, int]]]:
        """Each clip with something to do, and its features with the number of the attempt."""
        place, width = 0, len(self.features)
        for row, clip in enumerate(clips):
            if place == len(self._rows):
                return
            if row == self._rows[place]:
                mask = self._masks[place * width : (place + 1) * width]
                names = [name for name, is_missing in zip(self.features, mask, strict=True) if is_missing]
                yield clip, {name: self._attempts.get((row, name), 1) for name in names}
                place += 1


def missing_features(store: FeatureStore, clip: Clip, features: Iterable[str]) -> dict[str, int]:
    """Features that a clip still has to get, with the number of the attempt.

    A failure counts as done while the media is the same; with other media the clip is tried again, and so is a clip
    whose file was not there.

    Args:
        store: What is stored already.
        clip: The clip.
        features: Names of features.

    Raises:
        RunError: If values are stored that were made from other media of the same clip id.
    """
    missing = {}
    for feature in features:
        outcome = store.outcome_of(clip.id, feature)
        if outcome is None:
            missing[feature] = 1
        elif outcome.reason == "missing_file" or (
            outcome.state != "stored" and outcome.fingerprint != clip.fingerprint
        ):
            missing[feature] = outcome.attempt + 1
        elif outcome.state == "stored" and outcome.fingerprint != clip.fingerprint:
            raise RunError(
                f"clip {clip.id}: its media, segment or text changed since {feature} was stored "
                f"(fingerprint {outcome.fingerprint}, now {clip.fingerprint}); use a new store, or the old media"
            )
    return missing


def make_context(
    run: str, config: RunConfig, store: FeatureStore, root: str, extractors: Iterable[Extractor[Any]]
) -> RunContext:
    """What a run's shards have in common.

    Args:
        run: Id of the run.
        config: The run configuration.
        store: The store.
        root: Folder that media paths start from, absolute.
        extractors: What `build_extractors` gave.
    """
    rules = {"no_audio": config.no_audio, "no_channel": config.no_audio}
    rules |= {"no_video": config.no_video, "no_text": config.no_text}
    return RunContext(
        run=run,
        root=root,
        store=str(store.path.absolute()),
        features=tuple(FeaturePlan(e.name, e.feature, e.options, e.spec, dict(e.inputs)) for e in extractors),
        threads=config.cluster.threads,
        deinterlace=config.deinterlace == "auto",
        skipped_reasons=frozenset(reason for reason, rule in rules.items() if rule == "skip"),
    )


def shard_seconds(plan: Plan, workers: int, most: float) -> float:
    """Media seconds per shard: at least four shards per worker, so that no worker waits long for the last one.

    Args:
        plan: The plan.
        workers: Shards that run at the same time.
        most: Most seconds of media in one shard.
    """
    return max(1.0, min(most, plan.seconds / (4 * workers)))


def adopt_manifest(store: FeatureStore, manifest: Manifest) -> Iterator[Clip]:
    """Clips of the store's manifest after a run with `manifest`: known ones updated in place, new ones at the end.

    Args:
        store: The store.
        manifest: The run's manifest.

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
    """The configuration with what the command line says about the cluster.

    Args:
        config: The run configuration.
        engine: Where shards run; None keeps the configuration's.
        workers: Worker processes; None keeps the configuration's.
    """
    changes = {k: v for k, v in (("engine", engine), ("workers", workers)) if v is not None}
    return config.model_copy(update={"cluster": config.cluster.model_copy(update=changes)})
