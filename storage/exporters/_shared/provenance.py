"""Where the numbers of an export come from, as JSON text that every export carries."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storage.digests import canonical_json
from storage.records import FeatureSpec

if TYPE_CHECKING:
    from storage.store.store import FeatureStore


def describe_provenance(name: str, store: FeatureStore, features: Iterable[str], options: Mapping[str, str]) -> str:
    """JSON text that says what an export was made of: store, recipes, weights, versions, options.

    Column names are not in it: each format keeps them where its readers look for them. Neither is anything about when
    or in which order clips were extracted: equal numbers give equal bytes.

    Args:
        name: Export format.
        store: Where the features are.
        features: Names of the features.
        options: The options as they were given.
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


def provenance_format(path: Path) -> str | None:
    """Format of an export, by its `provenance.json` or, of a file, its attribute `provenance`; None if it has none."""
    import h5py

    try:
        if path.is_file():
            with h5py.File(path) as file:
                text = str(file.attrs["provenance"])
        else:
            text = (path / "provenance.json").read_text(encoding="utf-8")
        record = json.loads(text)
    except (OSError, ValueError, KeyError):
        return None
    return record.get("format") if isinstance(record, dict) else None


def _versions(store: FeatureStore) -> list[Any]:
    """The sets of library versions that the store's runs had, each once."""
    texts = {canonical_json(run.get("versions")) for run in store.runs()}
    return [json.loads(text) for text in sorted(texts)]


def _described(spec: FeatureSpec) -> dict[str, Any]:
    kept = {key: value for key, value in spec.to_dict().items() if key not in {"columns", "units"}}
    return kept | {"digest": spec.digest, "width": len(spec.columns)}
