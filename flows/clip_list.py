"""The clips of a store, each with the state of every feature."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from configs.errors import RunError
from flows.status import planned_features
from storage.errors import REASONS
from storage.store.states import State, States, describe_change
from storage.store.store import FeatureStore
from storage.store.survey import Survey


def list_clips(store: FeatureStore, where: str | None) -> tuple[list[str], Iterator[dict[str, Any]]]:
    """States of all clips, in manifest order.

    Args:
        store: The store.
        where: Only clips with a feature in this state, or failed for this reason, such as `failed` or `no_audio`; of
            one feature as `gemaps=stale`.

    Returns:
        Names of the features, and for each clip `id`, `split` and by feature `state` and, where there is one, `why`.

    Raises:
        RunError: If there is no such state, reason or feature.
    """
    names = planned_features(store) or list(store.specs)
    of, _, wanted = (where or "").rpartition("=")
    known = [state.name.lower() for state in State]
    if where is not None and wanted not in {*known, *REASONS}:
        raise RunError(f"--where {where}: expected one of {', '.join(known)}, or a reason such as no_audio")
    if of and of not in names:
        raise RunError(f"--where {where}: no feature {of!r}; features: {', '.join(names)}")
    return names, _rows(store, names, [of] if of else names, wanted)


def _rows(store: FeatureStore, names: list[str], looked_at: list[str], wanted: str) -> Iterator[dict[str, Any]]:
    survey = Survey(store)
    states = {name: survey.states(name) for name in names}
    for place, clip in enumerate(survey.manifest):
        features = {name: _state(store, name, clip.id, states[name], place) for name in names}
        if not wanted or any(wanted in (features[n]["state"], features[n].get("why")) for n in looked_at):
            yield {"id": clip.id, "split": clip.split, "features": features}


def _state(store: FeatureStore, name: str, clip_id: str, states: States, place: int) -> dict[str, str]:
    state = State(states.state[place])
    found = {"state": state.name.lower()}
    failure = store.index.failure(name, clip_id) if state in {State.FAILED, State.SKIPPED} else None
    if failure is not None:
        return found | {"why": failure.reason}
    if state == State.STALE:
        changed = [describe_change(what) for what, mask in states.changed.items() if mask[place]]
        return found | {"why": ", ".join(changed)}
    return found
