"""Ingest with the decoder's own probe: storage reads corpora and writes manifests, but never opens media."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from storage.corpora._shared.report import IngestReport
from storage.ingest import Estimate, Progress, estimate, ingest


def ingest_corpus(
    corpus: str | None, path: Path, out: Path, options: Mapping[str, str], progress: Progress | None = None
) -> IngestReport:
    """Read a corpus and write its manifest; see `storage.ingest.ingest`.

    Args:
        corpus: Corpus reader; None for `folder` or `table`.
        path: The corpus.
        out: Manifest to write.
        options: The reader's own options as text.
        progress: Called now and then with the number of clips so far.
    """
    return ingest(corpus, path, out, options, _probe, progress)


def estimate_corpus(corpus: str | None, path: Path, options: Mapping[str, str]) -> Estimate:
    """What hashing and probing a corpus will take; see `storage.ingest.estimate`.

    Args:
        corpus: Corpus reader; None for what the place looks like.
        path: The corpus.
        options: The reader's own options as text.
    """
    return estimate(corpus, path, options, _probe)


def _probe(path: Path) -> float | None:
    from extractors.core.media.streams import probe  # PyAV takes memory that a table of texts need not have

    return probe(path)
