"""Decoding: one clock, one opening per file, true timestamps, and a reason for everything that cannot be read."""

from __future__ import annotations

import numpy as np
import pytest

from extractors.core.media.clip_media import Media
from extractors.core.media.frame_reader import MediaFrameReader
from extractors.core.media.streams import probe
from storage.clip import Clip
from storage.errors import ClipError
from tests.media import square, tone, write_clip


def decoded(path, **clip):
    cache = clip.pop("frame_cache_bytes", 1 << 30)
    media = Media(Clip("c", video=path.name, audio=path.name, **clip), path.parent, frame_cache_bytes=cache)
    media.decode()
    return media


def reason(read) -> str:
    with pytest.raises(ClipError) as caught:
        read()
    return caught.value.reason


def test_audio_and_video_come_from_one_opening(tmp_path):
    media = decoded(write_clip(tmp_path / "a.mp4", seconds=1.0))
    assert media.audio().samples.dtype == np.float32
    assert media.audio().samples.shape == (16_000,)
    assert media.frame_times()[[0, -1]].tolist() == pytest.approx(np.array([[0, 0.04], [0.96, 1.0]]))
    assert next(media.frames()).rgb().shape == (120, 160, 3)
    assert (media.files_opened, media.video_passes) == (1, 1)


def test_separate_files_are_opened_once_each(tmp_path):
    write_clip(tmp_path / "a.mp4", audio=None)
    write_clip(tmp_path / "a.wav", video=False)
    media = Media(Clip("c", video="a.mp4", audio="a.wav"), tmp_path)
    media.decode()
    assert media.audio().samples.size == 16_000
    assert len(media.frame_times()) == 25
    assert media.files_opened == 2


def test_frames_are_the_right_ones_in_rgb(tmp_path):
    media = decoded(write_clip(tmp_path / "a.mp4", audio=None))
    for frame in media.frames():
        shown = frame.rgb()[45:65, :, 0].mean(axis=0) > 150
        assert np.flatnonzero(shown).mean() == pytest.approx(3 * frame.index % 130 + 14.5, abs=2.0)


def test_timestamps_of_variable_frame_rate_are_the_containers(tmp_path):
    times = [0.0, 0.04, 0.2, 0.24, 0.5]
    media = decoded(write_clip(tmp_path / "a.mp4", frames=[square(i) for i in range(5)], times=times, seconds=0.6))
    assert media.frame_times()[:, 0].tolist() == pytest.approx(times, abs=1e-3)
    assert media.frame_times()[:-1, 1].tolist() == pytest.approx(times[1:], abs=1e-3)


def test_a_late_audio_track_keeps_its_offset(tmp_path):
    audio = decoded(write_clip(tmp_path / "a.mp4", audio_start=0.5)).audio()
    assert audio.start == pytest.approx(0.5, abs=0.03)  # the encoder's own lead-in
    assert audio.end == pytest.approx(1.5, abs=0.03)


def test_a_real_clip_with_late_audio(feat_clips):
    media = decoded(feat_clips / "face_noface.mov")
    assert media.audio().start == pytest.approx(2.43, abs=0.001)
    assert media.frame_times().shape == (169, 2)


def test_segment_and_spill_give_the_same_frames(tmp_path):
    path = write_clip(tmp_path / "a.mp4", seconds=4.0)
    whole = decoded(path)
    part = decoded(path, start=1.0, end=2.5)
    assert len(part.frame_times()) == 38
    assert part.frame_times()[-1].tolist() == pytest.approx([1.48, 1.5])
    assert part.audio().samples.size == pytest.approx(24_000, abs=1)
    spilled = decoded(path, start=1.0, end=2.5, frame_cache_bytes=1000)
    originals = [f.rgb() for f in whole.frames()][25:63]
    for one, other, original in zip(part.frames(), spilled.frames(), originals, strict=True):
        assert (one.rgb() == original).all()
        assert (other.rgb() == original).all()
    assert (part.video_passes, spilled.video_passes) == (1, 2)


def test_segment_audio_is_the_same_audio(tmp_path):
    path = write_clip(tmp_path / "a.wav", seconds=4.0, video=False, rate=16_000)
    part = decoded(path, start=1.0, end=2.5).audio()
    whole = decoded(path).audio()
    first = round(part.start * 16_000) + 16_000
    np.testing.assert_allclose(part.samples, whole.samples[first : first + part.samples.size], atol=1e-4)


def test_channels(tmp_path):
    audio = np.concatenate([tone(1, channels=1), 0 * tone(1, channels=1)])
    path = write_clip(tmp_path / "a.wav", audio=audio, video=False)
    levels = [np.abs(decoded(path, audio_channel=c).audio().samples).mean() for c in (0, 1)]
    assert levels[0] > 0.05
    assert levels[1] == 0
    assert np.abs(decoded(path).audio().samples).mean() == pytest.approx(
        levels[0] / 2, rel=0.01
    )  # FFmpeg's normalised down-mix
    assert reason(decoded(path, audio_channel=2).audio) == "no_channel"


def test_crop_and_scaling(tmp_path):
    path = write_clip(tmp_path / "a.mp4", audio=None)
    frame = next(decoded(path, crop=(0.5, 0.0, 1.0, 1.0)).frames())
    assert frame.rgb().shape == (120, 80, 3)
    assert frame.rgb(short_side=60).shape == (60, 40, 3)
    assert frame.rgb(short_side=500).shape == (120, 80, 3)


def test_every_kind_of_bad_file_has_its_reason(tmp_path):
    good = write_clip(tmp_path / "good.mp4", seconds=4.0).read_bytes()
    fast = write_clip(tmp_path / "fast.mp4", seconds=4.0, options={"movflags": "faststart"}).read_bytes()
    cases = {
        "zero.mp4": (b"", "empty_file", "empty_file"),
        "text.mp4": (b"these are only words\n" * 40, "undecodable", "undecodable"),
        "cut.mp4": (good[: len(good) // 2], "undecodable", "undecodable"),
        "cut_fast.mp4": (fast[: len(fast) // 2], "undecodable", "truncated"),  # its last sound packet is half there
        "pointer.mp4": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "lfs_pointer", "lfs_pointer"),
    }
    for name, (content, of_sound, of_pictures) in cases.items():
        (tmp_path / name).write_bytes(content)
        media = decoded(tmp_path / name)
        assert reason(media.audio) == of_sound, name
        assert reason(media.frames().__next__) == of_pictures, name
        assert probe(tmp_path / name) is None or name == "cut_fast.mp4"
    assert reason(decoded(tmp_path / "nothing.mp4").audio) == "missing_file"
    assert probe(tmp_path / "good.mp4") == pytest.approx(4.0, abs=0.05)


@pytest.mark.parametrize("video", [True, False])
def test_a_file_that_ends_early_without_any_error_is_noticed(tmp_path, video):
    whole = write_clip(tmp_path / "a.mkv", seconds=8.0, video=video).read_bytes()
    assert decoded(tmp_path / "a.mkv").audio().samples.size == pytest.approx(128_000, abs=400)
    (tmp_path / "a.mkv").write_bytes(whole[: len(whole) // 2])
    assert reason(decoded(tmp_path / "a.mkv").audio) == "truncated"


def test_samples_are_those_of_a_16_bit_wav_file(tmp_path):
    audio = np.concatenate([tone(1), tone(1, hertz=330)])
    first = decoded(write_clip(tmp_path / "a.mp4", audio=audio)).audio().samples
    assert np.array_equal(first * 32_768, np.round(first * 32_768))
    write_clip(tmp_path / "b.wav", audio=first[None], rate=16_000, video=False)
    assert np.array_equal(decoded(tmp_path / "b.wav").audio().samples, first)


def test_missing_tracks(tmp_path):
    mute = decoded(write_clip(tmp_path / "mute.mp4", audio=None))
    assert reason(mute.audio) == "no_audio"
    assert len(mute.frame_times()) == 25
    blind = decoded(write_clip(tmp_path / "blind.mp4", video=False))
    assert reason(blind.frame_times) == "no_video"
    assert blind.audio().samples.size == 16_000
    nothing = Media(Clip("c"), tmp_path)
    nothing.decode()
    assert (reason(nothing.audio), reason(nothing.frame_times)) == ("no_audio", "no_video")


def test_shared_results_are_made_once(tmp_path):
    media = decoded(write_clip(tmp_path / "a.mp4"))
    made = []
    assert [media.once("k", lambda: made.append(1) or len(made)) for _ in range(3)] == [1, 1, 1]


@pytest.mark.parametrize("name", ["../a.wav", "inner/../../a.wav", "{absolute}"])
def test_a_path_of_a_manifest_cannot_leave_its_media_folder(tmp_path, name, monkeypatch):
    write_clip(tmp_path / "a.wav", video=False)
    (tmp_path / "root" / "inner").mkdir(parents=True)
    name = name.format(absolute=tmp_path / "a.wav")
    opened = []
    monkeypatch.setattr("extractors.core.media.opening.av.open", lambda *a, **k: opened.append(a))
    media = Media(Clip("c", audio=name, video=name), tmp_path / "root")
    media.decode()
    assert [reason(media.audio), reason(media.frame_times)] == ["outside_root"] * 2
    with pytest.raises(ClipError, match="outside of the media folder"):
        list(MediaFrameReader().frames(Clip("c", video=name), tmp_path / "root"))
    assert opened == []
