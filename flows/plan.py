"""What a run will do: its extractors in order, and which clips still miss what.

Everything that can be wrong with a run is found here, before any work. Which clips miss something is one join of the
manifest's columns with the store's index; clips become objects only when their shard is made (`shards.py`).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from configs.errors import RunError
from configs.schema import ExtractorEntry, RunConfig
from extractors.core.extractor import EXTRACTORS, Extractor, build_extractor, resolve_dependencies
from flows.job import FeaturePlan, RunContext, versions
from flows.machine import workers_here
from storage.store.states import State
from storage.store.survey import Survey, restricted, stale_lines

FIRST_RATE, LEAST_RATE, PATIENCE = 600.0, 10.0, 30.0
"""Seconds that a second of media may take: in a store's first run, at least, and as a multiple of what is usual."""


def new_run_id() -> str:
    """A run's id: sorts by time, to the microsecond, and is unique without asking anyone."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{secrets.token_hex(3)}"


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
    extractors = ordered_extractors(config, only)
    for extractor in extractors:
        _ = extractor.spec  # looks for the weights
    return extractors


def ordered_extractors(config: RunConfig, only: Iterable[str] | None = None) -> list[Extractor[Any]]:
    """What `build_extractors` gives, without a look for weights.

    Args:
        config: The run configuration.
        only: Names of the features to keep, beside those they need; all if None.

    Raises:
        RunError: An extractor or feature that does not exist.
        ConfigError: An option that does not exist.
    """
    chosen = chosen_extractors(config, only)
    for extractor in chosen:
        extractor.deinterlace = config.deinterlace == "auto"
    return resolve_dependencies(chosen)


def _build(config: RunConfig, entry: ExtractorEntry) -> Extractor[Any]:
    known = EXTRACTORS.load(entry.name).Options.model_fields
    return build_extractor(entry.name, entry.feature_name, config.options_of(entry, known))


@dataclass(frozen=True)
class Plan:
    """What a run will do.

    Attributes:
        features: Names of the features, in the order in which they are extracted.
        clips: Clips that the run was asked for.
        rows: (n,) places in the manifest of the clips that miss something, ascending.
        missing: (n, features) bool, what each of them misses.
        attempts: (n, features) the number of the attempt.
        seconds: Media seconds of these clips, as far as they could be probed.
        stale: A line for each feature with stale values that stay as they are.
        replaces: Whether values that are stored are computed anew.
    """

    features: tuple[str, ...]
    clips: int = 0
    rows: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64), repr=False)
    missing: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros((0, 0), np.bool_), repr=False)
    attempts: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), np.int64), repr=False)
    seconds: float = 0.0
    stale: Sequence[str] = ()
    replaces: bool = False

    @property
    def todo(self) -> int:
        """Clips that miss at least one feature."""
        return len(self.rows)


def make_plan(
    survey: Survey,
    extractors: Sequence[Extractor[Any]],
    asked: npt.NDArray[np.bool_],
    *,
    replace_stale: bool = False,
    limit: int | None = None,
) -> Plan:
    """Find what the clips of a store's manifest still miss.

    A failure counts as done while the clip's inputs are the same, unless its reason lies outside of the clip; a stale
    value counts as done unless stale ones are to be replaced, or something that misses is computed from it.

    Args:
        survey: Of the store.
        extractors: What `build_extractors` gave.
        asked: (n,) bool, the clips that the run is asked for.
        replace_stale: Whether stale values are computed anew.
        limit: Most clips to do.
    """
    crops = crop_roots(extractors)
    states = {e.feature: survey.states(e.feature, e.spec.digest, crops.get(e.feature)) for e in extractors}
    missing = {name: asked & ((s.state == State.MISSING) | s.again) for name, s in states.items()}
    stale = {name: asked & (s.state == State.STALE) for name, s in states.items()}
    if replace_stale:
        missing = {name: mask | stale[name] for name, mask in missing.items()}
    for extractor in reversed(extractors):  # what is computed from stale values would be stale itself
        for need in extractor.needs:
            missing[need] = missing[need] | (missing[extractor.feature] & stale[need])
    columns = np.column_stack([missing[e.feature] for e in extractors])
    rows = np.flatnonzero(columns.any(axis=1))[:limit]
    attempts = np.column_stack([states[e.feature].attempt[rows] for e in extractors]) + 1
    left = {name: restricted(s, asked & ~missing[name]) for name, s in states.items()}
    return Plan(
        features=tuple(states),
        clips=int(asked.sum()),
        rows=rows,
        missing=columns[rows],
        attempts=attempts,
        seconds=float(np.nansum(survey.columns.seconds[rows])),
        stale=stale_lines(survey, left.items()),
        replaces=any(bool((mask & missing[name])[rows].any()) for name, mask in stale.items()),
    )


def crop_roots(features: Iterable[Extractor[Any] | FeaturePlan]) -> dict[str, Path]:
    """Folder of the released crops that features are made from, by feature.

    Args:
        features: Their extractors or plans.
    """
    found = {feature.feature: getattr(feature.options, "crops", None) for feature in features}
    return {name: crops.root for name, crops in found.items() if crops is not None}


def make_context(
    run: str,
    config: RunConfig,
    store: Path,
    roots: Mapping[str, Path],
    extractors: Iterable[Extractor[Any]],
    generation: int = 0,
    usual: float | None = None,
) -> RunContext:
    """What a run's shards have in common.

    Args:
        run: Id of the run.
        config: The run configuration.
        store: Folder of the store.
        roots: Media folders by name.
        extractors: What `build_extractors` gave.
        generation: Of the run's results.
        usual: Seconds of work that a second of media takes, as far as the store's runs tell.
    """
    allowed = FIRST_RATE if usual is None else max(LEAST_RATE, PATIENCE * usual)
    rules = {"no_audio": config.no_audio, "no_channel": config.no_audio}
    rules |= {"no_video": config.no_video, "no_text": config.no_text}
    return RunContext(
        run=run,
        # Absolute: workers of another scheduler have another current folder.
        roots={name: str(folder.absolute()) for name, folder in roots.items()},
        store=str(store.absolute()),
        features=tuple(FeaturePlan(e.name, e.feature, e.options, e.spec, dict(e.inputs)) for e in extractors),
        threads=config.cluster.threads,
        deinterlace=config.deinterlace == "auto",
        skipped_reasons=frozenset(reason for reason, rule in rules.items() if rule == "skip"),
        generation=generation,
        publish_seconds=config.cluster.publish_seconds,
        clip_seconds=config.cluster.clip_seconds,
        seconds_per_second=allowed if config.cluster.seconds_per_second is None else config.cluster.seconds_per_second,
        memory_bytes=int((config.cluster.worker_gib or 0) * 2**30),
        memory_share=0.9 / workers_here(config.cluster),
        versions=versions(),
    )


def with_engine(config: RunConfig, engine: str | None, workers: int | None) -> RunConfig:
    """The configuration with what the command line says about the cluster.

    Args:
        config: The run configuration.
        engine: Where shards run; None keeps the configuration's.
        workers: Worker processes; None keeps the configuration's.
    """
    changes = {k: v for k, v in (("engine", engine), ("workers", workers)) if v is not None}
    return config.model_copy(update={"cluster": config.cluster.model_copy(update=changes)})
