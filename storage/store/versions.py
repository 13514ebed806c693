"""Versions of libraries that are not in a feature's digest: recorded with every shard file, compared and shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def mixed_versions(made_with: Iterable[Mapping[str, str]]) -> str:
    """The libraries of which values of one feature were made with several versions; empty if there are none.

    Args:
        made_with: Each set of versions that a store holds values of.

    >>> mixed_versions([{"torch": "2.14.1", "numpy": "2.4.6"}, {"torch": "2.15.0", "numpy": "2.4.6"}])
    'torch 2.14.1 and 2.15.0'
    """
    found: dict[str, set[str]] = {}
    for versions in made_with:
        for name, version in versions.items():
            found.setdefault(name, set()).add(version)
    return ", ".join(f"{name} {' and '.join(sorted(v))}" for name, v in sorted(found.items()) if len(v) > 1)
