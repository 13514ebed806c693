"""Corpus readers: one file or folder per corpus that turns what its owners ship into clips.

In: a folder or file on disk, and checked options. Out: clips as a stream, and a report of what does not fit together.
Read `_shared/corpus.py` first, then `folder.py`. A reader opens no media, hashes nothing, and never imports another
reader; no row is dropped, guessed or mapped to `neutral` silently.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from configs.plugins import parse
from storage.corpora._shared.corpus import CORPORA, Corpus, CorpusListing, CorpusOptions
from storage.corpora._shared.tree import some_files

__all__ = ["CORPORA", "Corpus", "CorpusListing", "CorpusOptions", "read_corpus", "recognise"]


def recognise(source: Path) -> list[str]:
    """Names of the readers of the corpora that a folder looks like; none where it is a folder of anything.

    Args:
        source: The folder. Some of its files are looked at, however many there are; none is opened.
    """
    paths = some_files(source)
    return [name for name in CORPORA.names() if CORPORA.load(name).fits(paths)]


def read_corpus(name: str, source: Path, options: Mapping[str, str]) -> CorpusListing:
    """Read a corpus on disk.

    Args:
        name: Corpus reader.
        source: Folder or file, as the reader expects.
        options: The reader's own options as text; see `merflow corpora NAME`.

    Raises:
        RunError: If there is no such reader, an option is wrong, or what the reader needs is not there.
    """
    reader = CORPORA.load(name)
    return reader(source, parse(reader.Options, dict(options), f"corpus {name}", "option")).read()
