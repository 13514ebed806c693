"""What exporters share: checks of options and features, and the record of where the numbers come from."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from storage.errors import RunError
from storage.records import FeatureSpec, canonical_json
from storage.store import FeatureStore

NAMED = 5


def refuse_unknown(options: Mapping[str, str], valid: Sequence[str], name: str) -> None:
    """Refuse options that mean nothing to a format.

    Raises:
        RunError: Names the first such option and the valid ones.
    """
    for key in options:
        if key not in valid:
            raise RunError(f"format {name}: unknown option {key!r}; valid ones: {', '.join(sorted(valid))}")


def refuse_synthetic(store: FeatureStore, features: Iterable[str]) -> None:
    """Refuse features made with random weights.

    Raises:
        RunError: Names them, and the option that allows them.
    """
    synthetic = [name for name in features if store.specs[name].synthetic]
    if synthetic:
        raise RunError(
            f"{store.path}: {', '.join(synthetic)}: made with random weights, such numbers mean nothing; "
            f"to export them all the same: --opt allow_synthetic=true"
        )


def choice(options: Mapping[str, str], name: str, valid: Sequence[str]) -> str:
    """Value of an option; the first valid one by default.

    Raises:
        RunError: If it is none of the valid ones.
    """
    value = options.get(name, valid[0])
    if value not in valid:
        raise RunError(f"option {name}: expected {' or '.join(valid)}, got {value!r}")
    return value


def spec_of(store: FeatureStore, feature: str, hint: str = "") -> FeatureSpec:
    """Spec of a feature.

    Raises:
        RunError: If the store has no such feature; lists those it has.
    """
    if feature not in store.specs:
        raise RunError(f"{store.path}: no feature {feature!r}; features: {', '.join(store.specs) or 'none yet'}{hint}")
    return store.specs[feature]


def some(items: Sequence[str]) -> str:
    """The first few of many, for one line."""
    more = f" and {len(items) - NAMED} more" if len(items) > NAMED else ""
    return ", ".join(items[:NAMED]) + more


def provenance(name: str, store: FeatureStore, features: Iterable[str], options: Mapping[str, str]) -> str:
    """JSON text that says what an export was made of: store, recipes, weights, versions, options.

    Column names are not in it: each format keeps them where its readers look for them. Neither is anything about when
    or in which order clips were extracted: equal numbers give equal bytes.
    """
    specs = {feature: store.specs[feature] for feature in features}
    record = {
        "format": name,
        "store": store.path.absolute().name,
        "corpus": store.manifest.corpus,
        "options": dict(options),
        "synthetic": sorted(feature for feature, spec in specs.items() if spec.synthetic),
        "features": {feature: _described(spec) for feature, spec in specs.items()},
        "extracted_with": _versions(store),
        "versions": {"merflow": version("merflow"), "numpy": version("numpy"), "python": platform.python_version()},
    }
    return json.dumps(record, indent=2, ensure_ascii=False)


def _versions(store: FeatureStore) -> list[Any]:
    """The sets of library versions that the store's runs had, each once."""
    texts = {canonical_json(run.get("versions")) for run in store.runs()}
    return [json.loads(text) for text in sorted(texts)]


def _described(spec: FeatureSpec) -> dict[str, Any]:
    kept = {key: value for key, value in spec.to_dict().items() if key not in {"columns", "units"}}
    return kept | {"digest": spec.digest, "width": len(spec.columns)}


def write_json(path: Path, value: object) -> None:
    """Write a JSON file for people and programs: indented, UTF-8."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8", newline="")
