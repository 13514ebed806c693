"""Failures in the order of people: by clip, and by reason with what that means and what to do about it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from storage.errors import REASONS
from storage.records import Failure

LONGEST = 200  # characters of an example


@dataclass(frozen=True)
class FailureGroup:
    """Clips that have no values for one reason.

    Attributes:
        reason: The reason's code.
        state: `failed` or `skipped`.
        features: How many clips by feature.
        clips: Ids, each once.
        meaning: What the code means.
        remedy: What to do.
        example: A message.
    """

    reason: str
    state: str
    features: dict[str, int]
    clips: list[str]
    meaning: str
    remedy: str
    example: str


def grouped(failures: Sequence[Failure]) -> list[FailureGroup]:
    """Failures by reason and state, the reason with the most clips first.

    Args:
        failures: Of a store.
    """
    found: dict[tuple[str, str], list[Failure]] = defaultdict(list)
    for failure in failures:
        found[failure.state, failure.reason].append(failure)
    groups = [
        FailureGroup(
            reason=reason,
            state=state,
            features=dict(Counter(f.feature for f in of)),
            clips=list(dict.fromkeys(f.clip_id for f in of)),
            meaning=REASONS[reason].meaning if reason in REASONS else "",
            remedy=REASONS[reason].remedy if reason in REASONS and state == "failed" else "",
            example=of[0].message[:LONGEST],
        )
        for (state, reason), of in found.items()
    ]
    return sorted(groups, key=lambda group: (group.state, -len(group.clips)))


def by_clip(failures: Sequence[Failure]) -> Iterator[tuple[str, str, str, list[str]]]:
    """Group failures for people: each clip and reason once, with the features it cost.

    Yields:
        Clip id, reason, message, feature names.
    """
    grouped: dict[tuple[str, str, str], list[str]] = {}
    for failure in sorted(failures, key=lambda f: f.clip_id):
        grouped.setdefault((failure.clip_id, failure.reason, failure.message), []).append(failure.feature)
    for (clip_id, reason, message), features in grouped.items():
        yield clip_id, reason, message, features


def reasons(failures: Sequence[Failure]) -> Counter[str]:
    """How often each reason occurs."""
    return Counter(f.reason for f in failures)
