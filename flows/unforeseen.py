"""Errors that nobody foresaw: the clip's, or everybody's.

One clip that makes an extractor raise `KeyError` is recorded as failed. The same error from three clips, with no
success in between, is a fault of merflow, of an extractor or of the machine: the run stops, and blames no clip.
"""

from __future__ import annotations

import traceback
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from configs.errors import RunError
from storage.clip import Clip
from storage.identity import input_digests
from storage.records import Failure
from storage.store.files import write_small
from storage.store.layout import traceback_path
from storage.store.shard_writer import Entry

SAME_ERRORS = 3


@dataclass(frozen=True)
class Unforeseen:
    """An error that nobody foresaw, in one clip and feature.

    Attributes:
        clip: The clip.
        feature: The feature that has no values for it.
        source: The feature whose extractor raised: this one, or one that it is computed from.
        kind: Type of the exception.
        message: What it said.
        where: File and line of the code that raised it.
        attempt: Number of the attempt.
    """

    clip: Clip
    feature: str
    source: str
    kind: str
    message: str
    where: str
    attempt: int = 1

    @property
    def failure(self) -> Failure:
        """What is recorded of it."""
        said = f"{self.kind}: {self.message}" if self.message else self.kind
        text = f"{said} ({self.where}); its traceback is in the run's `errors`"
        reason = "out_of_memory" if self.kind == MemoryError.__name__ else "error"
        return Failure(self.clip.id, self.feature, reason, text, attempt=self.attempt)

    def entry(self, generation: int) -> Entry:
        """What is stored of it.

        Args:
            generation: Of the run's results.
        """
        return Entry(self.clip.id, self.failure, input_digests(self.clip), generation=generation)

    def of(self, feature: str) -> Unforeseen:
        """The same error, for a feature that is computed from the one that raised."""
        return replace(self, feature=feature)


def unforeseen(error: Exception, clip: Clip, feature: str, store: Path, run: str) -> Unforeseen:
    """Note an error, and keep its traceback with the run.

    Args:
        error: What was raised.
        clip: The clip.
        feature: The feature.
        store: Folder of the store.
        run: Id of the run.
    """
    text = "".join(traceback.format_exception(error))
    write_small(traceback_path(store, run, clip.id, feature), text)
    return Unforeseen(clip, feature, feature, type(error).__name__, str(error), _where(error))


class SameErrorsError(RunError):
    """The same unforeseen error came from several clips, with no success of its extractor in between.

    Args:
        message: For people.
        source: The feature.
        kind: What makes two of these the same: feature, type and place.
    """

    def __init__(self, message: str, source: str, kind: str) -> None:
        super().__init__(message, source, kind)
        self.source, self.kind = source, kind

    def __str__(self) -> str:
        return str(self.args[0])


def kind_of(error: BaseException) -> str:
    """What makes two errors the same one: the type, and where it was raised.

    Args:
        error: The error.
    """
    if isinstance(error, SameErrorsError):
        return error.kind
    return f"{type(error).__name__} {_where(error)}"


def _where(error: BaseException) -> str:
    """File and line of the code that raised an error."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "nowhere"


class Breaker:
    """Holds errors back until it is known whose they are."""

    def __init__(self) -> None:
        self._pending: defaultdict[str, list[Unforeseen]] = defaultdict(list)

    def failed(self, error: Unforeseen) -> None:
        """An error; held back until its extractor succeeds.

        Raises:
            SameErrorsError: If it is the same one of three clips, with no success in between.
        """
        pending = self._pending[error.source]
        pending.append(error)
        same = {e.clip.id for e in pending if (e.kind, e.where) == (error.kind, error.where)}
        if len(same) >= SAME_ERRORS:
            raise SameErrorsError(
                f"feature {error.source}: {error.kind}: {error.message} ({error.where}), the same for "
                f"{', '.join(sorted(same))} with no success in between: this is no fault of these clips, and they are "
                f"not recorded as failed; their tracebacks are in the run's `errors`",
                error.source,
                f"{error.source} {error.kind} {error.where}",
            )

    def succeeded(self, features: Iterable[str]) -> list[Unforeseen]:
        """Errors that are their clips' own, for their extractors have succeeded with another one.

        Args:
            features: Features that have values.
        """
        return [error for name in features for error in self._pending.pop(name, [])]

    def pending(self) -> list[Unforeseen]:
        """Errors of which it is not known yet."""
        return [error for errors in self._pending.values() for error in errors]
