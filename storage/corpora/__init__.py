"""Corpus readers, one module each: `read(source, options) -> Ingested`. A new module here is found by its name."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType

from storage.corpora._base import Ingested, IngestReport
from storage.errors import RunError

__all__ = ["IngestReport", "Ingested", "corpus_names", "corpus_reader", "read_corpus"]


def corpus_names() -> list[str]:
    """Names of the corpus readers, sorted."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def corpus_reader(name: str) -> ModuleType:
    """The module of a corpus reader.

    Raises:
        RunError: If there is none of this name; lists the valid ones.
    """
    if name not in corpus_names():
        raise RunError(f"unknown corpus {name!r}; corpora: {', '.join(corpus_names())}")
    return import_module(f"{__name__}.{name}")


def read_corpus(name: str, source: Path, options: Mapping[str, str]) -> Ingested:
    """Read a corpus on disk.

    Args:
        name: Corpus reader.
        source: Folder or file, as the reader expects.
        options: The reader's own options.

    Raises:
        RunError: If there is no such reader, or what it needs is not there.
    """
    ingested: Ingested = corpus_reader(name).read(source, options)
    return ingested
