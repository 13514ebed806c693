"""A folder of clips: every media file below it is a clip.

A video and a sound file of the same name in the same folder are one clip with its own sound file; a video alone
brings its own sound; a sound file alone has no video. A clip's id is its file name without the suffix, or its path
where two of them are the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from storage.corpora._base import (
    AUDIO_SUFFIXES,
    MEDIA_SUFFIXES,
    VIDEO_SUFFIXES,
    Ingested,
    IngestReport,
    check_options,
    media_files,
    unique_ids,
)
from storage.errors import RunError
from storage.records import Clip


@dataclass(frozen=True, slots=True)
class _Item:
    file: PurePosixPath  # the video, or the sound of a clip without one
    video: str | None
    audio: str


def read(source: Path, options: Mapping[str, str]) -> Ingested:
    """Read a folder.

    Args:
        source: The folder.
        options: `corpus`, the name of the corpus; default is the folder's.

    Raises:
        RunError: If it is not a folder, or holds no media.
    """
    check_options(options, ["corpus"], "corpus folder")
    if not source.is_dir():
        raise RunError(f"{source}: expected a folder of clips, found {'a file' if source.exists() else 'nothing'}")
    files = media_files(source)
    if not files:
        raise RunError(f"{source}: no media files; looked for {' '.join(MEDIA_SUFFIXES)} in it and below")
    report = IngestReport(options.get("corpus") or source.absolute().name)
    items = list(_items(files, report))
    ids = unique_ids([_names(i.file) for i in items], [str(i.file) for i in items], report)
    pairs = zip(ids, items, strict=True)
    clips = [Clip(clip_id, video=i.video, audio=i.audio, source_id=i.file.stem) for clip_id, i in pairs]
    return Ingested(source, clips, report)


def _items(files: list[PurePosixPath], report: IngestReport) -> Iterator[_Item]:
    groups: dict[PurePosixPath, list[PurePosixPath]] = defaultdict(list)
    for file in files:
        groups[file.with_suffix("")].append(file)
    for group in groups.values():
        videos = [f for f in group if f.suffix.lower() in VIDEO_SUFFIXES]
        sounds = sorted(set(group) - set(videos), key=lambda f: (AUDIO_SUFFIXES.index(f.suffix.lower()), f))
        if not videos:
            yield from (_Item(sound, None, str(sound)) for sound in sounds)
            continue
        report.extra += [f"{sound}: {videos[0].name} has its sound from {sounds[0].name}" for sound in sounds[1:]]
        yield from (_Item(video, str(video), str(sounds[0] if sounds else video)) for video in videos)


def _names(file: PurePosixPath) -> list[str]:
    path = str(file)
    return [file.stem, path.removesuffix(file.suffix).replace("/", "__"), path.replace("/", "__")]
