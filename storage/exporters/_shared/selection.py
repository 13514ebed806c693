"""Which features and clips an export is made of: options for them, splits, and clips that lack something."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from configs.errors import RunError
from configs.plugins import CommaList, Pairs, Section
from storage.clip import CLIP_ID, Clip
from storage.records import FeatureSpec
from storage.store.clocks import has_clock
from storage.timeline import clip_end, latest_end
from storage.wording import counted, having

if TYPE_CHECKING:
    from storage.store.store import FeatureStore

NAMED = 5
# Fields of a clip that matter to a reader of features: not where its media is.
ABOUT = ("id", "split", "text", "language", "speaker", "group", "label", "label_raw", "source_id", "duration")
THREE = ("train", "valid", "test")
_USUAL = {"train": "train", "val": "valid", "valid": "valid", "validation": "valid", "dev": "valid", "test": "test"}
# Extractors whose features have one row per frame, in the order in which they are asked for a clip's frames.
PER_FRAME = ("action_units", "openface", "faces")


class SelectedFeatures(Section):
    """Which features.

    Attributes:
        features: Features to export, separated by commas; all of the store's where none is named.
    """

    features: CommaList = ()


class Missing(Section):
    """What becomes of clips that lack something.

    Attributes:
        missing: `error` stops and names them, `omit` leaves them out and lists them in missing.json.
    """

    missing: Literal["error", "omit"] = "error"


class DefaultSplit(Section):
    """Clips without a split.

    Attributes:
        default_split: Split of clips that have none, such as train.
    """

    default_split: str | None = None


class Splits(DefaultSplit):
    """The corpus's splits as train, valid and test.

    Attributes:
        splits: What the corpus's splits are, such as train:train,val:valid,val:test; by their names where not given.
    """

    splits: Pairs = ()


def abbreviate(items: Sequence[str]) -> str:
    """The first few of many, for one line.

    >>> abbreviate(["a", "b", "c", "d", "e", "f", "g"])
    'a, b, c, d, e and 2 more'
    """
    more = f" and {len(items) - NAMED} more" if len(items) > NAMED else ""
    return ", ".join(items[:NAMED]) + more


def spec_of(store: FeatureStore, feature: str, hint: str = "") -> FeatureSpec:
    """Spec of a feature.

    Args:
        store: Where it is.
        feature: Its name.
        hint: What to do if it is not there, for the end of the message.

    Raises:
        RunError: If the store has no such feature; lists those it has.
    """
    if feature not in store.specs:
        raise RunError(f"{store.path}: no feature {feature!r}; features: {', '.join(store.specs) or 'none yet'}{hint}")
    return store.specs[feature]


def selected_features(store: FeatureStore, options: SelectedFeatures) -> list[str]:
    """Features that the option `features` names; all of the store's by default.

    Args:
        store: Where they are.
        options: The export's options.

    Raises:
        RunError: If the store lacks one.
    """
    return [spec_of(store, name).name for name in options.features or list(store.specs)]


def frame_feature(store: FeatureStore, name: str | None) -> FeatureSpec:
    """The feature whose rows count a clip's frames.

    Args:
        store: Where it is.
        name: Its name; None for the first that is known to have a row per frame.

    Raises:
        RunError: If the store has none; says how to get one.
    """
    chosen = [s for e in PER_FRAME for s in store.specs.values() if s.extractor == e and s.level == "frame"]
    if name is not None:
        chosen = [s for s in store.specs.values() if s.name == name]
    if not chosen:
        raise RunError(
            f"{store.path}: no feature {name or 'with a row per frame'}, which says how many frames a clip has; "
            f"extract faces, or name one with --opt frames_feature=NAME"
        )
    return chosen[0]


def clips_without(store: FeatureStore, features: Sequence[str]) -> dict[str, list[str]]:
    """Ids of the clips that have no values, by feature, in manifest order.

    Args:
        store: Where the features are.
        features: Names of features.
    """
    without: dict[str, list[str]] = {name: [] for name in features}
    for clip in store.clips():
        for name in features:
            if not store.has(clip.id, name):
                without[name].append(clip.id)
    return without


def refuse_missing(without: Mapping[str, Sequence[str]], missing: str, effect: str) -> None:
    """Refuse clips that lack something, unless the option `missing` says to leave them out.

    Args:
        without: Ids by what they lack.
        missing: Value of the option.
        effect: What leaving them out means, such as `leaves them out of the pickle`.

    Raises:
        RunError: Names what is lacking, the clips and the option.
    """
    if missing == "omit":
        return
    for what, ids in without.items():
        if ids:
            raise RunError(
                f"{having(len(ids), 'clip')} no {what}: {abbreviate(ids)}; "
                f"--opt missing=omit {effect} and lists them in missing.json"
            )


def seconds_of(store: FeatureStore, clip: Clip, features: Sequence[str]) -> float:
    """Length of a clip in seconds: as probed, or the latest end of its features where it could not be probed.

    Args:
        store: Where the features are.
        clip: The clip.
        features: Names of features.
    """
    return clip.duration or latest_end(store.get(clip.id, name) for name in features if store.has(clip.id, name))


def audio_seconds(store: FeatureStore, clip: Clip) -> float:
    """Length of a clip's audio: where its audio features end, or the clip's length where it has none.

    Args:
        store: Where the features are.
        clip: The clip.
    """
    audio = {
        name: store.get(clip.id, name)
        for name, spec in store.specs.items()
        if spec.modality == "audio" and store.has(clip.id, name)
    }
    return clip_end(clip, audio, store.specs) if audio else seconds_of(store, clip, list(store.specs))


def require_clock(store: FeatureStore, spec: FeatureSpec, option: str) -> None:
    """Refuse a feature as a clock if its rows have no times of their own.

    Args:
        store: Where it is.
        spec: The feature.
        option: The option that names it.

    Raises:
        RunError: Names the feature.
    """
    if not has_clock(store, spec.name):
        raise RunError(
            f"option {option}: feature {spec.name} has no clock: each of its rows has the time of the whole clip"
        )


def refuse_broadcast(store: FeatureStore, specs: Iterable[FeatureSpec], broadcast: Sequence[str]) -> None:
    """Refuse to put rows without times on a clock: each interval would get the mean of all of them.

    Args:
        store: Where the features are.
        specs: What is put on the clock.
        broadcast: Features of which that is wanted.

    Raises:
        RunError: Names the feature and the option.
    """
    for spec in specs:
        if spec.name not in broadcast and not has_clock(store, spec.name):
            raise RunError(
                f"feature {spec.name}: its rows have no times of their own, so every interval would get their mean; "
                f"leave it out, or ask for that with --opt broadcast={spec.name}"
            )


class Broadcast(Section):
    """Features without times of their own.

    Attributes:
        broadcast: Features, such as tokens, whose mean over the clip every interval gets; refused where not named.
    """

    broadcast: CommaList = ()


def by_split(store: FeatureStore, default_split: str | None) -> dict[str, list[str]]:
    """Ids of the clips of each split, in manifest order.

    Args:
        store: Where the clips are.
        default_split: Split of clips that have none.

    Raises:
        RunError: If a clip has no split and there is no default, or its name is not fit for files.
    """
    splits: dict[str, list[str]] = defaultdict(list)
    for clip in store.clips():
        split = clip.split or default_split
        if not split:
            raise RunError(f"clip {clip.id} has no split; --opt default_split=train puts such clips into train")
        if not CLIP_ID.fullmatch(split) or not split.strip("."):
            raise RunError(f"clip {clip.id}: split {split!r} cannot be the name of a folder or file")
        splits[split].append(clip.id)
    return dict(splits)


def three_splits(store: FeatureStore, options: Splits) -> tuple[dict[str, list[str]], list[str]]:
    """Ids of `train`, `valid` and `test`, made of the corpus's own splits.

    Args:
        store: Where the clips are.
        options: The export's options.

    Returns:
        The ids, an empty list where the corpus has no such split; and one line about each thing that is not plain.

    Raises:
        RunError: If a split is not one of the usual ones and the option `splits` does not say what it is.
    """
    own, stated = by_split(store, options.default_split), list(options.splits)
    for source, target in stated:
        if source not in own or target not in (*THREE, "none"):
            expected = f"one of {', '.join(own)} to one of {', '.join(THREE)}, none"
            raise RunError(f"option splits: expected {expected}; got {source}:{target}")
    chosen = stated or [(name, _USUAL.get(name, "")) for name in own]
    unclear = [name for name in own if not dict(chosen).get(name)]
    if unclear:
        raise RunError(
            f"split {unclear[0]!r}: train, valid or test? --opt splits={unclear[0]}:test,... says so for every split; "
            f"{unclear[0]}:none leaves it out"
        )
    three = {t: list(dict.fromkeys(i for s, to in chosen if to == t for i in own[s])) for t in THREE}
    remarks = [f"split {s}: {counted(len(own[s]), 'clip')} left out, as told" for s, to in chosen if to == "none"]
    shared = [f"split {s}: used more than once" for s in own if sum(s == c for c, _ in chosen) > 1]
    return three, remarks + shared


def about(clip: Clip) -> dict[str, Any]:
    """What is known of a clip, as plain JSON types; fields that it lacks are left out."""
    fields = {name: getattr(clip, name) for name in ABOUT}
    kept = {name: value for name, value in fields.items() if value is not None}
    return kept | {"labels": dict(clip.labels), "dimensions": dict(clip.dimensions)}
