"""Everything that the first page of a report says, as plain numbers, lists and words."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt

from extractors.core.extractor import EXTRACTORS
from flows.failures import FailureGroup, grouped
from flows.report.flags import flags_of
from flows.report.lengths import AGREEMENT, Lengths, lengths_of
from flows.status import Status, planned_features, read_status
from storage.corpora import CORPORA
from storage.exporters._shared.selection import PER_FRAME
from storage.records import FeatureSpec
from storage.store.store import FeatureStore
from storage.store.survey import Survey

NO_SPLIT, NO_LABEL = "no split", "no label"


@dataclass(frozen=True)
class Facts:
    """A store, as far as a report tells of it.

    Attributes:
        name: Name of the store's folder.
        corpus: Name of the corpus.
        terms: Its licence, where merflow has a reader of it.
        made: When the report was made.
        merflow: Version of merflow.
        status: Counts, failures, what is mixed, stale and unreadable.
        groups: Failures by reason, the most frequent first.
        runs: Records of runs, oldest first.
        specs: What each feature's numbers are.
        licences: Licence by feature.
        lengths: Rows, ends and valid shares by feature.
        ids: Ids of the clips; all lists of clips below are in this order.
        seconds: (n,) probed seconds; NaN where they are not known.
        states: (n, f) `State` by the features in `planned`.
        planned: Features that some run planned.
        splits: Split of each clip.
        labels: Label of each clip.
        speakers: Speaker of each clip.
        disagreeing: Ids of clips with a feature that ends elsewhere than the clip, and by how much.
        shared: By `speaker` and `group`: those that are in several splits, with these.
        flags: Flags of each clip.
        meanings: What each flag says.
    """

    name: str
    corpus: str
    terms: str
    made: str
    merflow: str
    status: Status
    groups: list[FailureGroup]
    runs: list[dict[str, Any]]
    specs: Mapping[str, FeatureSpec]
    licences: Mapping[str, str]
    lengths: Mapping[str, Lengths]
    ids: list[str]
    seconds: npt.NDArray[np.float64]
    states: npt.NDArray[np.uint8]
    planned: list[str]
    splits: list[str]
    labels: list[str]
    speakers: list[str]
    disagreeing: list[tuple[str, str, float]]
    shared: dict[str, dict[str, list[str]]]
    flags: list[list[str]]
    meanings: dict[str, str]

    @property
    def flag_counts(self) -> Counter[str]:
        """How many clips have which flag."""
        return Counter(flag for flags in self.flags for flag in flags)


def gather(store: FeatureStore) -> Facts:
    """Read what a report says of a store; values are read of features with one row per clip only.

    Raises:
        StoreError: If nothing was run into the store yet.
    """
    survey, status, planned = Survey(store), read_status(store), planned_features(store)
    found = {name: survey.states(name) for name in dict.fromkeys([*planned, *store.specs])}
    lengths = {name: lengths_of(store, found[name].number, name) for name in store.specs}
    ids: list[str] = survey.columns.ids.to_pylist()
    columns = [found[name].state for name in planned]
    splits, labels, speakers, groups = _known(store)
    flags, meanings = flags_of(store, survey)
    corpus = store.manifest.corpus
    return Facts(
        name=store.path.absolute().name,
        corpus=corpus,
        terms=CORPORA.load(corpus).licence if corpus in CORPORA.names() else "",
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        merflow=version("merflow"),
        status=status,
        groups=grouped(status.failures),
        runs=store.runs(),
        specs=store.specs,
        licences={name: _licence(spec) for name, spec in store.specs.items()},
        lengths=lengths,
        ids=ids,
        seconds=survey.columns.seconds,
        states=np.column_stack(columns) if columns else np.zeros((len(ids), 0), np.uint8),
        planned=planned,
        splits=splits,
        labels=labels,
        speakers=speakers,
        disagreeing=_disagreeing(store.specs, lengths, survey.columns.seconds, ids),
        shared={kind: _in_several(of, splits) for kind, of in (("speaker", speakers), ("group", groups))},
        flags=flags,
        meanings=meanings,
    )


def _known(store: FeatureStore) -> tuple[list[str], list[str], list[str], list[str]]:
    """Split, label, speaker and group of each clip."""
    splits, labels, speakers, groups = [], [], [], []
    for clip in store.clips():
        splits.append(clip.split or NO_SPLIT)
        labels.append(clip.label or clip.label_raw or NO_LABEL)
        speakers.append(clip.speaker or "")
        groups.append(clip.group or "")
    return splits, labels, speakers, groups


def _in_several(values: Sequence[str], splits: Sequence[str]) -> dict[str, list[str]]:
    """Speakers or groups that are in several splits."""
    where: dict[str, dict[str, None]] = defaultdict(dict)
    for value, split in zip(values, splits, strict=True):
        if value and split != NO_SPLIT:
            where[value][split] = None
    order = list(dict.fromkeys(splits))
    return {value: sorted(found, key=order.index) for value, found in sorted(where.items()) if len(found) > 1}


def _disagreeing(
    specs: Mapping[str, FeatureSpec], lengths: Mapping[str, Lengths], seconds: npt.NDArray[np.float64], ids: list[str]
) -> list[tuple[str, str, float]]:
    """Clips whose features that cover every moment end more than a window away from where the clip ends."""
    found = []
    for name, spec in specs.items():
        if spec.level != "frame" or (spec.hop is None and spec.extractor not in PER_FRAME):
            continue  # rows of sampled windows, tokens and segments need not reach the end
        off = lengths[name].ends - seconds
        allowed = AGREEMENT + (spec.window or 0.0)
        found += [(ids[i], name, float(off[i])) for i in np.flatnonzero(np.abs(np.nan_to_num(off)) > allowed)]
    return found


def _licence(spec: FeatureSpec) -> str:
    return EXTRACTORS.load(spec.extractor).licence if spec.extractor in EXTRACTORS.names() else ""
