"""Segments of one file that share a way through it get what each gets alone, and the file is decoded once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pytest

from extractors.core.media import demuxing
from extractors.core.media.clip_media import Media
from extractors.core.media.passages import Passages
from storage.clip import Clip
from storage.errors import ClipError
from tests.media import write_clip
from tests.odd_media import encode, noise, remux

SECONDS = 16.0


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """One file of each kind."""
    folder = tmp_path_factory.mktemp("films")
    made = {}
    for name in ("film.mp4", "film.mkv", "film.avi"):
        made[name] = folder / name
        write_clip(made[name], seconds=SECONDS, fps=8)
    source = encode(folder / "whole.mkv", audio=noise(SECONDS, 48_000), codec="aac", rate=48_000)
    made["hole.mkv"] = folder / "hole.mkv"
    remux(source, made["hole.mkv"], keep=lambda _, n: not 300 <= n < 304)
    made["cut.mp4"] = folder / "cut.mkv"
    data = made["film.mkv"].read_bytes()
    made["cut.mp4"].write_bytes(data[: 2 * len(data) // 3])
    return made


def segments(path, *times):
    return [Clip(f"s{i}", video=path.name, audio=path.name, start=a, end=b) for i, (a, b) in enumerate(times)]


NEIGHBOURS = [(i * 2.0, i * 2.0 + 2.0) for i in range(int(SECONDS / 2))]
KINDS = {
    "neighbours": NEIGHBOURS,
    "overlapping": [(0.5, 4.0), (1.0, 3.0), (1.0, 5.0), (4.9, 5.1), (5.0, 9.0)],
    "gaps": [(1.01, 1.51), (2.013, 2.9), (14.0, 15.0), (15.0, 15.5)],
    "backwards": [(13.0, 14.0), (3.0, 4.0), (3.5, 4.5)],
    "to the end": [(13.0, 14.0), (14.0, None), (20.0, 21.0)],
}


@dataclass
class Got:
    audio: object
    times: object
    frames: object
    flags: object


def read(clip, folder, passages=None) -> Got:
    media = Media(clip, folder, passages=passages)
    media.decode()

    def asked(call):
        try:
            return call()
        except ClipError as error:
            return error.reason, error.message

    audio, times = asked(media.audio), asked(media.frame_times)
    frames = [] if isinstance(times, tuple) else [frame.rgb().tobytes() for frame in media.frames()]
    samples = audio if isinstance(audio, tuple) else (audio.samples.tobytes(), audio.start, audio.holes.tobytes())
    seen = times if isinstance(times, tuple) else times.tobytes()
    return Got(samples, seen, frames, (media.flags("audio"), media.flags("video")))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "film",
    ["film.mp4", "hole.mkv", *(pytest.param(f, marks=pytest.mark.slow) for f in ("film.mkv", "film.avi", "cut.mp4"))],
)
def test_what_is_shared_is_what_each_gets_alone(films, film, kind):
    path, passages = films[film], Passages()
    for clip in segments(path, *KINDS[kind]):
        assert read(clip, path.parent, passages) == read(clip, path.parent), clip
    passages.close()


@pytest.mark.parametrize("film", ["film.mp4", "film.mkv"])
def test_neighbours_cost_little_more_than_one_decoding(films, film, monkeypatch):
    decoded, count = Counter(), demuxing.PacketPass.count

    def counting(self, index, frame):
        decoded[type(frame).__name__] += 1
        count(self, index, frame)

    monkeypatch.setattr(demuxing.PacketPass, "count", counting)
    path = films[film]
    media = Media(Clip("whole", video=path.name, audio=path.name), path.parent)
    media.decode()
    whole = decoded.copy()
    decoded.clear()
    passages = Passages()
    for clip in segments(path, *NEIGHBOURS):
        Media(clip, path.parent, passages=passages).decode()
    passages.close()
    assert all(decoded[kind] <= 1.2 * whole[kind] for kind in whole), (decoded, whole)
    decoded.clear()
    for clip in segments(path, *NEIGHBOURS):
        Media(clip, path.parent).decode()
    assert decoded["AudioFrame"] > 4 * whole["AudioFrame"]  # what it cost before


def test_the_ends_of_files_are_closed(films):
    path, passages = films["film.mp4"], Passages()
    Media(segments(path, (0.0, 1.0))[0], path.parent, passages=passages).decode()
    shared = passages.frames(path, segments(path, (1.0, 2.0))[0], deinterlace=False)
    assert shared is not None
    passages.close()
    assert passages.frames(path, segments(path, (1.0, 2.0))[0], deinterlace=False) is None
