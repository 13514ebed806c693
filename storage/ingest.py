"""From a corpus on disk to a manifest: read it, hash and probe every media file once, write it whole."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from configs.errors import RunError
from configs.paths import is_remote
from storage.clip import Clip
from storage.corpora import read_corpus, recognise
from storage.corpora._shared.corpus import CorpusListing
from storage.corpora._shared.report import IngestReport
from storage.known_files import KnownFiles
from storage.manifest import write_manifest
from storage.media_files import (
    FileRecord,
    NoFileError,
    image_files,
    is_image,
    is_images,
    is_lfs_pointer,
    refusal_of,
    sha256_of,
    state_of,
)
from storage.remote import is_folder, local_copy

Probe = Callable[[Path], float | None]
Progress = Callable[[int], None]
_THREADS = 4
_AHEAD = 64
_BEYOND_SECONDS = 0.1
_CUT_SECONDS = 0.3
_TRIED, _TRIED_BYTES = 16, 256 << 20  # files on which an estimate is made


@dataclass(frozen=True, slots=True)
class _File:
    record: FileRecord | None = None
    problem: str = ""

    @property
    def seconds(self) -> float | None:
        return None if self.record is None else self.record.seconds


def ingest(
    corpus: str | None,
    path: Path,
    out: Path,
    options: Mapping[str, str],
    probe: Probe,
    progress: Progress | None = None,
) -> IngestReport:
    """Read a corpus and write its manifest.

    Files that the manifest of before knows, with the same size, modification time and inode, are not hashed or probed
    again.

    Args:
        corpus: Corpus reader; None means `folder` for a folder and `table` for a file.
        path: The corpus.
        out: Manifest to write, `.parquet` or `.jsonl`; an older one is replaced.
        options: The reader's own options.
        probe: Gives the seconds of a media file, or None if it cannot be read. Called from several threads.
        progress: Called now and then with the number of clips so far.

    Returns:
        What did not fit together. Clips with missing or unreadable media are in the manifest all the same.

    Raises:
        RunError: If there is no such corpus or reader, or an option is wrong. Nothing is written then.
    """
    listing = list_corpus(corpus, path, options)
    known = KnownFiles.of_manifest(out, listing.root)
    clips = _counted(_measured(listing, probe, known), progress)
    listing.report.clips = write_manifest(out, clips, listing.root, listing.corpus)
    return listing.report


def preview(corpus: str | None, path: Path, options: Mapping[str, str], number: int) -> tuple[list[Clip], IngestReport]:
    """The first clips of a corpus, without hashing or probing anything, and what was noticed on the way.

    Args:
        corpus: Corpus reader; None means `folder` for a folder and `table` for a file.
        path: The corpus.
        options: The reader's own options.
        number: How many clips.

    Raises:
        RunError: If there is no such corpus or reader, or an option is wrong.
    """
    listing = list_corpus(corpus, path, options)
    clips = list(islice(iter(listing.clips), number))
    listing.report.clips = len(clips)
    return clips, listing.report


@dataclass(frozen=True, slots=True)
class Estimate:
    """What ingesting a corpus will cost.

    Attributes:
        files: Media files that clips name and that are there.
        bytes: Their size.
        seconds: What hashing and probing them will take here, by the first ones; None where there are none.
    """

    files: int
    bytes: int
    seconds: float | None


def estimate(corpus: str | None, path: Path, options: Mapping[str, str], probe: Probe) -> Estimate:
    """What hashing and probing a corpus will take, by trying it on a few of its files.

    Args:
        corpus: Corpus reader; None as for `ingest`.
        path: The corpus.
        options: The reader's own options.
        probe: As for `ingest`.

    Raises:
        RunError: As `ingest` does.
    """
    listing = list_corpus(corpus, path, options)
    files = total = tried = 0
    taken = 0.0
    seen: set[str] = set()
    for clip in listing.clips:
        for name in clip.media.values():
            file = listing.root / name
            if name in seen or refusal_of(name):
                continue
            seen.add(name)
            try:
                state = state_of(file)
            except OSError:  # not there, or no file: nothing will be read of it
                continue
            size = int(state.partition(" ")[0])
            files, total = files + 1, total + size
            if files <= _TRIED and tried + size <= _TRIED_BYTES:
                begin = time.perf_counter()
                _read(file, state, probe)
                taken, tried = taken + time.perf_counter() - begin, tried + size
    return Estimate(files, total, taken * total / tried if tried else None)


def list_corpus(corpus: str | None, path: Path, options: Mapping[str, str]) -> CorpusListing:
    """A corpus as its reader finds it.

    Args:
        corpus: Corpus reader; None means `folder` for a folder and `table` for a file.
        path: The corpus.
        options: The reader's own options.

    Raises:
        RunError: If there is no such corpus or reader, or an option is wrong.
    """
    if not (is_folder(path) or path.exists()):
        raise RunError(f"{path}: no such file or folder")
    if corpus is not None:
        return read_corpus(corpus, path, options)
    if not is_folder(path):
        return read_corpus("table", path, options)
    fitting = recognise(path)
    if len(fitting) > 1:
        raise RunError(f"{path}: looks like several corpora: {', '.join(fitting)}; choose one with --corpus NAME")
    listing = read_corpus(fitting[0] if fitting else "folder", path, options)
    listing.report.recognised = fitting[0] if fitting else ""
    return listing


def _counted(clips: Iterator[Clip], progress: Progress | None) -> Iterator[Clip]:
    for number, clip in enumerate(clips, 1):
        if progress is not None and number % 100 == 0:
            progress(number)
        yield clip


def _measured(listing: CorpusListing, probe: Probe, known: KnownFiles) -> Iterator[Clip]:
    """The clips in order, with records and duration of their media; files are read a little ahead in threads."""
    with ThreadPoolExecutor(_THREADS) as pool:
        files = _Files(listing.root, probe, pool, known)
        waiting: deque[Clip] = deque()
        for clip in listing.clips:
            if clip.video is None and clip.audio is None and not waiting:
                yield clip
                continue
            files.start(clip)
            waiting.append(clip)
            if len(waiting) > _AHEAD:
                yield files.measured(waiting.popleft(), listing.report)
        while waiting:
            yield files.measured(waiting.popleft(), listing.report)


class _Files:
    """Each media file's record, made once however many clips share it."""

    def __init__(self, root: Path, probe: Probe, pool: ThreadPoolExecutor, known: KnownFiles) -> None:
        self._root, self._probe, self._pool, self._known = root, probe, pool, known
        self._files: dict[str, _File | Future[_File]] = {}
        self._reported: set[str] = set()

    def start(self, clip: Clip) -> None:
        for name in clip.media.values():
            if name not in self._files:
                self._files[name] = self._look(name)

    def _look(self, name: str) -> _File | Future[_File]:
        """What the file is: at once where it is known, else from a thread."""
        if refusal := refusal_of(name):
            return _File(problem=refusal)
        try:
            state = state_of(self._root / name if is_remote(self._root) else f"{self._root}/{name}")
        except NoFileError as error:
            return _File(problem=str(error.strerror))
        except OSError:
            return _File()
        record = self._known.find(name, state)
        return _File(record) if record is not None else self._pool.submit(_read, self._root / name, state, self._probe)

    def measured(self, clip: Clip, report: IngestReport) -> Clip:
        media = clip.media
        files = {kind: self._found(name) for kind, name in media.items()}
        for kind, name in media.items():
            if files[kind].problem and name not in self._reported:
                self._reported.add(name)
                report.unreadable.append(f"{name}: {files[kind].problem}")
        lengths = (_length(clip, kind, file.seconds) for kind, file in files.items())
        seconds = max((length for length in lengths if length is not None), default=None)
        records = {kind: str(file.record) for kind, file in files.items() if file.record is not None}
        if seconds is not None and (beyond := _beyond(clip, seconds)):
            report.outside.append(f"clip {clip.id}: {beyond}, its media has {seconds:.2f} s")
        if seconds is not None and (other := _other_length(clip, seconds)):
            report.outside.append(f"clip {clip.id}: {other}")
        return clip.with_media(records, _duration(clip, seconds))

    def _found(self, name: str) -> _File:
        file = self._files[name]
        if isinstance(file, Future):
            file = self._files[name] = file.result()
        return file


def _length(clip: Clip, kind: str, seconds: float | None) -> float | None:
    """Seconds of one of a clip's media; a folder of images has their number, and a single image no length."""
    if seconds is None or kind != "video":
        return seconds
    if clip.frame_rate is not None:
        return seconds / clip.frame_rate
    return 0.0 if is_image(clip.video) else seconds


def _other_length(clip: Clip, seconds: float) -> str:
    """In what a clip's media differ from the length that its corpus states, for people."""
    stated = clip.about.get("stated_seconds")
    if stated is None or abs(float(stated) - seconds) <= _CUT_SECONDS:
        return ""
    return f"its media has {seconds:.2f} s, its corpus states {float(stated):.2f} s"


def _beyond(clip: Clip, seconds: float) -> str:
    """In what a clip's times lie beyond its media, for people."""
    if clip.start is not None and clip.start >= seconds:
        return f"starts at {clip.start:.2f} s"
    if clip.end is not None and clip.end > seconds + _BEYOND_SECONDS:
        return f"ends at {clip.end:.2f} s"
    return ""


def _duration(clip: Clip, media: float | None) -> float | None:
    """Seconds of the clip's segment within media of this length."""
    if media is None:
        return None
    return max(0.0, min(media, media if clip.end is None else clip.end) - (clip.start or 0.0))


def _read(path: Path, state: str, probe: Probe) -> _File:
    if not path.exists():
        return _File()
    try:
        if path.is_file() and is_lfs_pointer(path):
            return _File(problem="a git-LFS pointer, not media; run `git lfs pull` in its repository")
        digest = sha256_of(path)
        images = len(image_files(path)) if is_images(path) else None
    except OSError as error:
        return _File(problem=str(error.strerror or error))
    if images is not None:
        return _File(FileRecord(digest, state, float(images)), "" if images else "a folder without images")
    seconds = probe(local_copy(path))
    problem = "" if seconds is not None else "cannot read duration; file damaged or incomplete"
    return _File(FileRecord(digest, state, seconds), problem)
