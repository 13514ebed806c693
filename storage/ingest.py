"""From a corpus on disk to a manifest: read it, hash and probe every media file once, write it whole."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from configs.errors import RunError
from storage.clip import Clip
from storage.corpora import read_corpus
from storage.corpora._shared.corpus import CorpusListing
from storage.corpora._shared.report import IngestReport
from storage.manifest import write_manifest
from storage.media_files import record_of, sha256_of

Probe = Callable[[Path], float | None]
_THREADS = 4
_AHEAD = 64
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class _File:
    digest: str  # SHA-256 of its bytes, or why there is none
    record: str = ""
    seconds: float | None = None
    problem: str = ""


def ingest(corpus: str | None, path: Path, out: Path, options: Mapping[str, str], probe: Probe) -> IngestReport:
    """Read a corpus and write its manifest.

    Args:
        corpus: Corpus reader; None means `folder` for a folder and `table` for a file.
        path: The corpus.
        out: Manifest to write, `.parquet` or `.jsonl`; an older one is replaced.
        options: The reader's own options.
        probe: Gives the seconds of a media file, or None if it cannot be read. Called from several threads.

    Returns:
        What did not fit together. Clips with missing or unreadable media are in the manifest all the same.

    Raises:
        RunError: If there is no such corpus or reader, or an option is wrong. Nothing is written then.
    """
    if not path.exists():
        raise RunError(f"{path}: no such file or folder")
    listing = read_corpus(corpus or ("folder" if path.is_dir() else "table"), path, options)
    report = listing.report
    report.clips = write_manifest(out, _measured(listing, probe), listing.root, listing.corpus)
    return report


def _measured(listing: CorpusListing, probe: Probe) -> Iterator[Clip]:
    """The clips in order, with fingerprint and duration; files are read a little ahead in threads."""
    with ThreadPoolExecutor(_THREADS) as pool:
        files = _Files(listing.root, probe, pool)
        waiting: deque[Clip] = deque()
        for clip in listing.clips:
            files.start(clip)
            waiting.append(clip)
            if len(waiting) > _AHEAD:
                yield files.measured(waiting.popleft(), listing.report)
        while waiting:
            yield files.measured(waiting.popleft(), listing.report)


class _Files:
    """Each media file's digest and length, computed once however many clips share it."""

    def __init__(self, root: Path, probe: Probe, pool: ThreadPoolExecutor) -> None:
        self._root, self._probe, self._pool = root, probe, pool
        self._files: dict[str, Future[_File]] = {}
        self._reported: set[str] = set()

    def start(self, clip: Clip) -> None:
        for name in _media(clip).values():
            if name not in self._files:
                self._files[name] = self._pool.submit(_look, self._root, name, self._probe)

    def measured(self, clip: Clip, report: IngestReport) -> Clip:
        files = {kind: self._files[name].result() for kind, name in _media(clip).items()}
        for kind, name in _media(clip).items():
            if files[kind].problem and name not in self._reported:
                self._reported.add(name)
                report.unreadable.append(f"{name}: {files[kind].problem}")
        seconds = [f.seconds for f in files.values() if f.seconds is not None]
        records = {kind: file.record for kind, file in files.items() if file.record}
        clip = replace(clip, duration=_duration(clip, max(seconds, default=None)), files=records)
        return clip.with_fingerprint({kind: file.digest for kind, file in files.items()})


def _media(clip: Clip) -> dict[str, str]:
    return {kind: name for kind, name in (("video", clip.video), ("audio", clip.audio)) if name is not None}


def _duration(clip: Clip, media: float | None) -> float | None:
    """Seconds of the clip's segment within media of this length."""
    if media is None:
        return None
    return max(0.0, min(media, media if clip.end is None else clip.end) - (clip.start or 0.0))


def _look(root: Path, name: str, probe: Probe) -> _File:
    if "://" in name:
        return _File(name)
    path = root / name
    if not path.is_file():
        return _File("missing")
    try:
        digest = sha256_of(path)
        record = record_of(path, digest)
    except OSError as error:
        return _File("unreadable", problem=str(error.strerror or error))
    seconds = probe(path)
    problem = "" if seconds is not None else "cannot read duration; file damaged or incomplete"
    return _File(digest, record, seconds, problem)
