"""How somebody's features were made: a few clips are computed again in every plausible way, and compared.

Candidates are the entries of configurations whose weights are on this machine. Of each, every option that is a choice
between a few words (recipe, sampling, preprocessing, level, ...) takes every value, and options that name a layer every
layer. Those whose numbers are as many and of the same kind as the given ones are computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import numpy as np
import numpy.typing as npt

from configs.errors import RunError
from configs.schema import ExtractorEntry, RunConfig
from extractors.core.extractor import EXTRACTORS
from flows.single_files import SingleFiles
from storage.clip import Clip
from storage.manifest import Manifest
from storage.records import Failure, FeatureSpec

Array = npt.NDArray[Any]
# Choices that change no number of a clip that has some; `combine` is of several layers, of which recipes take care.
_UNSEEN = {"too_long", "engine", "precision", "combine"}
_LAYERS, _MOST_LAYERS = {"layers", "layer"}, 48
_OF_A_CLIP = {"utterance", "functionals"}
_RELATIVE, _ABSOLUTE = 1e-3, 1e-4  # of float32; ten times as much where the arrays are float16
_ROWS_APART = 0.05


@dataclass(frozen=True)
class Given:
    """An array of somebody's tree.

    Attributes:
        clip: The clip that it is of.
        root: Folder that the clip's media lie in.
        array: (T, D) its rows; one that was a vector has one.
        is_vector: Whether it was a vector.
    """

    clip: Clip
    root: Path
    array: Array
    is_vector: bool


@dataclass
class Candidate:
    """One way to make features, and how near it comes.

    Attributes:
        feature: Name of the entry.
        extractor: Its extractor.
        options: What it varies of the entry's options.
        distance: Largest of all clips: the length of the difference by the length of the given array; NaN where
            nothing could be compared.
        largest: Largest difference of a number.
        rows: Rows of each clip, given and computed.
        is_equal: Whether all clips have as many rows and numbers that are equal as far as their type is exact.
        problem: Why there is nothing to compare.
    """

    feature: str
    extractor: str
    options: Mapping[str, Any]
    distance: float = float("nan")
    largest: float = 0.0
    rows: list[tuple[int, int]] = field(default_factory=list)
    is_equal: bool = False
    problem: str = ""

    @property
    def shown(self) -> str:
        """Its name and options, for people."""
        return f"{self.feature} ({', '.join(f'{k}: {v}' for k, v in self.options.items())})"


@dataclass
class Identified:
    """What was found.

    Attributes:
        given: What was compared with.
        candidates: Nearest first.
        absent: Entries whose weights are not on this machine, with what is missing.
    """

    given: list[Given]
    candidates: list[Candidate]
    absent: dict[str, str]

    @property
    def equal(self) -> list[Candidate]:
        """Candidates that give these very numbers."""
        return [candidate for candidate in self.candidates if candidate.is_equal]


def read_given(folder: Path, manifest: Manifest, number: int) -> list[Given]:
    """Arrays of a tree of `.npy` files that are of clips of a manifest: those of the first clips.

    Args:
        folder: The tree; a file is called like a clip, by its id or by the corpus's own name.
        manifest: The clips.
        number: How many clips.

    Raises:
        RunError: If there is no such file, or one is no array of one or two sides.
    """
    files = {path.stem: path for path in sorted(folder.rglob("*.npy"))}
    found: list[Given] = []
    for clip in manifest:
        path = files.get(clip.id) or files.get(clip.source_id or "")
        if path is None:
            continue
        array = np.load(path, allow_pickle=False)
        if array.ndim not in {1, 2} or not array.size or array.dtype.kind != "f":
            raise RunError(f"{path}: expected an array of numbers, (D,) or (T, D), got {array.shape} {array.dtype}")
        found.append(Given(clip, manifest.root_of(clip), np.atleast_2d(array), array.ndim == 1))
        if len(found) == number:
            break
    if not found:
        raise RunError(f"{folder}: no .npy file is called like a clip of the store, such as {_first_id(manifest)}.npy")
    widths = sorted({given.array.shape[1] for given in found})
    if len(widths) > 1:
        raise RunError(f"{folder}: arrays of {' and '.join(map(str, widths))} columns; name a folder of one feature")
    return found


def identify(
    given: Sequence[Given],
    configs: Iterable[RunConfig],
    say: Callable[[str], None] = lambda _: None,
    only: Iterable[str] | None = None,
) -> Identified:
    """Compute clips in every plausible way, and compare.

    Args:
        given: The arrays.
        configs: Where the candidates come from.
        say: Told of each candidate before it is computed.
        only: Names of entries; all if None.
    """
    absent: dict[str, str] = {}
    candidates: list[Candidate] = []
    seen: set[str] = set()
    last: SingleFiles | None = None
    for config, entry in _entries(configs, only):
        try:
            SingleFiles(_with(config, entry), [entry.feature_name])
        except RunError as error:
            absent[entry.feature_name] = str(error)
            continue
        for options in _variants(entry, given):
            made = _open(config, entry, options)
            if made is None:
                continue
            spec = made.specs[entry.feature_name]
            if spec.digest in seen or not _fits(spec, given):
                continue
            seen.add(spec.digest)
            candidate = Candidate(entry.feature_name, entry.name, options)
            say(candidate.shown)
            _compare(candidate, made, given)
            candidates.append(candidate)
            if last is not None:  # only now: the two may share a network
                last.close()
            last = made
    if last is not None:
        last.close()
    candidates.sort(key=lambda c: (not c.is_equal, np.isnan(c.distance), c.distance))
    return Identified(list(given), candidates, absent)


def _entries(configs: Iterable[RunConfig], only: Iterable[str] | None) -> Iterator[tuple[RunConfig, ExtractorEntry]]:
    wanted = None if only is None else set(only)
    for config in configs:
        for entry in config.extractors:
            if wanted is None or entry.feature_name in wanted:
                yield config, entry


def _variants(entry: ExtractorEntry, given: Sequence[Given]) -> Iterator[dict[str, Any]]:
    """Values for the options of an entry that somebody may have chosen otherwise; some contradict each other."""
    choices: dict[str, Sequence[Any]] = {}
    for name, about in EXTRACTORS.load(entry.name).Options.model_fields.items():
        if name in _LAYERS:
            choices[name] = (None, *range(_MOST_LAYERS + 1))
        elif name == "level" and _is_one_row(given):
            choices[name] = [level for level in get_args(about.annotation) if level in _OF_A_CLIP]
        elif get_origin(about.annotation) is Literal and name not in _UNSEEN:
            choices[name] = get_args(about.annotation)
    for values in product(*choices.values()):
        yield {name: value for name, value in zip(choices, values, strict=True) if value is not None}


def _open(config: RunConfig, entry: ExtractorEntry, options: Mapping[str, Any]) -> SingleFiles | None:
    """What extracts a variant; None where its options contradict each other, or the network has no such layer."""
    try:
        return SingleFiles(_with(config, entry.model_copy(update=dict(options))), [entry.feature_name])
    except RunError:
        return None


def _with(config: RunConfig, entry: ExtractorEntry) -> RunConfig:
    others = (other for other in config.extractors if other.feature_name != entry.feature_name)
    return config.model_copy(update={"extractors": (entry, *others)})


def _is_one_row(given: Sequence[Given]) -> bool:
    return all(len(one.array) == 1 for one in given)


def _fits(spec: FeatureSpec, given: Sequence[Given]) -> bool:
    is_wide_enough = len(spec.columns) == given[0].array.shape[1]
    return is_wide_enough and (spec.level == "utterance") == _is_one_row(given)


def _compare(candidate: Candidate, made: SingleFiles, given: Sequence[Given]) -> None:
    distances: list[float] = []
    equal: list[bool] = []
    for one in given:
        outcome = made.outcomes_of(one.clip, one.root)[candidate.feature]
        if isinstance(outcome, Failure):
            candidate.problem = f"clip {one.clip.id}: {outcome.reason}: {outcome.message}"
            equal.append(False)
            continue
        theirs, ours = one.array.astype(np.float64), outcome.values.astype(np.float64)
        candidate.rows.append((len(theirs), len(ours)))
        shared = min(len(theirs), len(ours))
        if max(len(theirs), len(ours)) - shared > max(2, _ROWS_APART * shared):
            candidate.problem = f"clip {one.clip.id}: {len(ours)} rows, given are {len(theirs)}"
            equal.append(False)
            continue
        known = np.isfinite(ours[:shared]).all(axis=1)
        difference = theirs[:shared][known] - ours[:shared][known]
        length = float(np.linalg.norm(theirs[:shared][known]))
        distances.append(float(np.linalg.norm(difference)) / max(length, 1e-12))
        candidate.largest = max(candidate.largest, float(np.abs(difference).max(initial=0.0)))
        factor = 10 if one.array.dtype == np.float16 else 1
        near = np.allclose(theirs[:shared][known], ours[:shared][known], _RELATIVE * factor, _ABSOLUTE * factor)
        equal.append(near and len(theirs) == len(ours) and bool(known.any()))
    candidate.distance = max(distances) if len(distances) == len(given) else float("nan")
    candidate.is_equal = all(equal)


def _first_id(manifest: Manifest) -> str:
    return next((clip.id for clip in manifest), "CLIP")
