"""Why a feature's recipe differs from the stored one: a setting that a person changed, or another merflow."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from storage.errors import StoreError
from storage.records import FeatureSpec
from storage.wording import shortened

# A person's choices stand in these; the rest of a spec follows from them and from the code.
_CHOSEN = ("extractor", "level", "dtype", "precision", "synthetic")


def require_same_settings(store: Path, stored: Iterable[FeatureSpec], spec: FeatureSpec) -> None:
    """Check that a feature's numbers may go beside those that are stored.

    Numbers that an older merflow made with the same settings are no obstacle: they become stale.

    Args:
        store: Folder of the store.
        stored: What is stored under the feature's name.
        spec: What is wanted.

    Raises:
        StoreError: If the settings are others; names the first that differs.
    """
    for other in stored:
        changed = changed_option(other, spec) if other.digest != spec.digest else None
        if changed is not None:
            raise StoreError(
                f"{store}: feature {spec.name} is stored with other settings ({changed}); go back to those, give this "
                f"one its own `feature:` name, or take out what is stored: merflow drop {store} {spec.name}"
            )


def changed_option(stored: FeatureSpec, spec: FeatureSpec) -> str | None:
    """The first setting that differs, with both values; None if only merflow or one of its engines changed.

    Where the code changed, a setting that only one of the two knows came or went with it.

    Args:
        stored: What was stored.
        spec: What is wanted.

    >>> from dataclasses import replace
    >>> one = FeatureSpec("h", "hubert", "audio", "frame", ("a",), recipe={"layer": 24})
    >>> changed_option(one, replace(one, recipe={"layer": 12}))
    'option layer: 24 in the store, now 12'
    >>> changed_option(one, replace(one, code=2, engines={"ffmpeg": "63.7"}))
    """
    for name in _CHOSEN:
        ours, theirs = getattr(stored, name), getattr(spec, name)
        if ours != theirs:
            return _difference(name, ours, theirs)
    if _hash(stored) != _hash(spec):
        return _difference("weights", dict(stored.weights), dict(spec.weights))
    is_same_code = _code(stored) == _code(spec)
    for name in sorted({*stored.recipe, *spec.recipe}):
        ours, theirs = stored.recipe.get(name), spec.recipe.get(name)
        is_known = name in stored.recipe and name in spec.recipe
        if ours != theirs and (is_known or is_same_code):
            return _difference(f"option {name}", ours, theirs)
    interlaced = [dict(s.engines).get("deinterlace", "off") for s in (stored, spec)]
    return _difference("deinterlace", *interlaced) if interlaced[0] != interlaced[1] else None


def _hash(spec: FeatureSpec) -> object:
    """What tells weights from others: their SHA-256 wherever they lie, or the seed of random ones."""
    return spec.weights.get("sha256") or dict(spec.weights)


def _code(spec: FeatureSpec) -> tuple[object, ...]:
    engines = {name: version for name, version in spec.engines.items() if name != "deinterlace"}
    return spec.code, spec.source, engines


def _difference(name: str, ours: object, theirs: object) -> str:
    return f"{name}: {shortened(ours)} in the store, now {shortened(theirs)}"
