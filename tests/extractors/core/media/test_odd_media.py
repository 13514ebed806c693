"""Files people really have: each gives the right samples, frames and times, or a reason that names the true cause."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from extractors.core.media.clip_media import Media
from extractors.core.media.opening import undecodable
from extractors.core.media.streams import probe
from storage.clip import Clip
from storage.errors import ClipError
from tests.odd_media import damage, encode, noise, quadrants, ramp, remux, samples_of, trimmed, with_matrix
from tests.traps import PLAYLISTS, watched


def decoded(path, *, audio=True, video=True, **clip):
    media = Media(Clip("c", video=path.name, audio=path.name, **clip), path.parent, audio=audio, video=video)
    media.decode()
    return media


def samples(media) -> np.ndarray:
    return (media.audio().samples * 32_768).astype(np.int16)


def reason(read) -> str:
    with pytest.raises(ClipError) as caught:
        read()
    return caught.value.reason


def looks(media) -> list[float]:
    return [float(frame.rgb().mean()) for frame in media.frames()]


BARE_MP3 = {"write_xing": "0", "id3v2_version": "0"}
AUDIO_FILES = {
    "raw.aac": {"codec": "aac", "form": "adts"},
    "vbr.mp3": {"codec": "libmp3lame", "audio_options": {"q": "2"}, "options": BARE_MP3},
    "xing.mp3": {"codec": "libmp3lame"},
    "a.ts": {"codec": "libmp3lame"},
    "b.ts": {"codec": "aac", "form": "mpegts"},
    "a.mpg": {"codec": "mp2"},
    "a.wav": {"codec": "adpcm_ms"},
    "b.wav": {"codec": "pcm_f32le"},
    "a.flac": {"codec": "flac"},
    "a.opus": {"codec": "libopus", "rate": 48_000},
    "a.flv": {"codec": "libmp3lame", "options": {"flvflags": "no_duration_filesize"}},
    "a.mkv": {"codec": "aac"},
}  # fmt: skip


@pytest.mark.parametrize("name", AUDIO_FILES)
def test_every_sample_that_ffmpeg_decodes_is_there(tmp_path, name):
    """No guessed length cuts the end, and no rounded start the first sample."""
    settings = dict(AUDIO_FILES[name])
    rate = settings.pop("rate", 44_100)
    path = encode(tmp_path / name, audio=noise(6.0, rate, quiet_first=True), rate=rate, **settings)
    media = decoded(path, video=False)
    expected = samples_of(path)
    assert expected.size > 95_000
    np.testing.assert_array_equal(samples(media), expected)
    assert "holes" not in media.flags("audio")
    assert probe(path) == pytest.approx(6.0, abs=0.06)
    assert media.audio().start == pytest.approx(0, abs=1e-9)


def test_flvs_wrong_length_is_not_believed(tmp_path):
    path = encode(tmp_path / "a.flv", audio=noise(2.0), codec="libmp3lame")
    data = bytearray(path.read_bytes())
    at = data.find(b"duration") + 9
    data[at : at + 8] = np.array(61.0, ">f8").tobytes()
    path.write_bytes(data)
    np.testing.assert_array_equal(samples(decoded(path, video=False)), samples_of(path))


def test_a_wav_whose_header_does_not_know_its_length(tmp_path):
    path = encode(tmp_path / "a.wav", audio=noise(1.0), codec="pcm_s16le")
    whole, data = samples(decoded(path, video=False)), bytearray(path.read_bytes())
    for size in (b"\xff\xff\xff\xff", b"\x00\xf0\xff\x7f", b"\x00\x00\x00\x00"):
        data[data.find(b"data") + 4 : data.find(b"data") + 8] = size
        path.write_bytes(data)
        np.testing.assert_array_equal(samples(decoded(path, video=False)), whole, err_msg=size.hex())


SEGMENTED = {
    "a.mp4": {},
    "a.mkv": {},
    "a.ts": {},
    "frag.mp4": {"options": {"movflags": "frag_keyframe+empty_moov"}},
    "a.mpg": {"video_codec": "mpeg2video", "codec": "mp2"},
    "raw.h264": {"audio": None, "form": "h264"},
}


@pytest.mark.parametrize("name", SEGMENTED)
def test_a_segment_is_what_the_full_decode_holds_of_it(tmp_path, name):
    settings = {"audio": noise(6.0), "video_options": {"g": "50", "bf": "2"}} | SEGMENTED[name]
    path = encode(tmp_path / name, frames=ramp(150), **settings)
    whole = decoded(path)
    all_looks, starts = looks(whole), whole.frame_times()[:, 0]
    for start, end in ((0.5, 1.5), (3.3, 5.5), (2.51, 4.0)):
        part = decoded(path, start=start, end=end)
        inside = [look for look, at in zip(all_looks, starts, strict=True) if start - 1e-6 <= at < end - 1e-6]
        assert looks(part) == inside
        assert len(inside) == pytest.approx((end - start) * 25, abs=1)
        if settings["audio"] is not None:
            keep = np.ones(part.audio().samples.size, bool)
            for begin, stop in (part.audio().holes - part.audio().start) * 16_000:
                keep[round(begin) : round(stop)] = False
            np.testing.assert_array_equal(samples(part)[keep], trimmed(path, start, end))
            assert part.audio().start == pytest.approx(0, abs=1 / 16_000)


def test_a_segment_that_the_media_does_not_reach_is_truncated(tmp_path):
    path = encode(tmp_path / "a.mkv", frames=ramp(50), audio=noise(2.0))
    part = decoded(path, start=1.0, end=4.0)
    with pytest.raises(ClipError, match=r"a.mkv: audio ends at 2.\d\d s of 4.00 s that the clip needs"):
        part.audio()
    assert reason(part.frame_times) == "truncated"
    nothing = decoded(path, start=3.0, end=4.0)
    assert (reason(nothing.audio), reason(nothing.frame_times)) == ("no_audio", "no_video")


@pytest.mark.parametrize("name", [*AUDIO_FILES, *SEGMENTED])
@pytest.mark.parametrize("segment", [{}, {"start": 0.7, "end": 2.3}], ids=["whole", "segment"])
def test_what_is_read_does_not_depend_on_what_else_is_read(tmp_path, name, segment):
    settings = {"audio": noise(3.0, 48_000), "rate": 48_000} | (AUDIO_FILES | SEGMENTED)[name]
    path = encode(tmp_path / name, frames=ramp(75) if name in SEGMENTED else None, **settings)
    both, ears, eyes = (
        decoded(path, **segment),
        decoded(path, video=False, **segment),
        decoded(path, audio=False, **segment),
    )
    if settings["audio"] is not None:
        np.testing.assert_array_equal(ears.audio().samples, both.audio().samples)
        assert (ears.audio().start, ears.flags("audio")) == (both.audio().start, both.flags("audio"))
    if name in SEGMENTED:
        np.testing.assert_array_equal(eyes.frame_times(), both.frame_times())
        assert (looks(eyes), eyes.flags("video")) == (looks(both), both.flags("video"))


@pytest.mark.parametrize("kind", ["audio", "video"])
def test_damage_of_one_stream_costs_the_other_nothing(tmp_path, kind):
    path = encode(tmp_path / "a.mp4", frames=ramp(50), audio=noise(2.0), options={"movflags": "faststart"})
    whole, hurt = decoded(path), damage(path, tmp_path / "hurt.mp4", kind)
    media = decoded(hurt)
    if kind == "audio":
        assert looks(media) == looks(whole)
        with pytest.raises(ClipError, match=r"hurt.mp4: audio: [A-Z]") as caught:
            media.audio()
        assert "Error number" not in str(caught.value)
        assert reason(decoded(hurt, video=False).audio) == caught.value.reason == "undecodable"
    else:
        np.testing.assert_array_equal(samples(media), samples(whole))
        alone = decoded(hurt, audio=False)
        assert (reason(media.frame_times) if is_refused(media) else looks(media)) == (
            reason(alone.frame_times) if is_refused(alone) else looks(alone)
        )


def is_refused(media) -> bool:
    try:
        media.frame_times()
    except ClipError:
        return True
    return False


ORIENTATIONS = {  # matrix a, b, c, d: the quarters as shown, from left to right and down
    (1, 0, 0, 1): "RGBW",
    (0, 1, -1, 0): "BRWG",
    (-1, 0, 0, -1): "WBGR",
    (0, -1, 1, 0): "GWRB",
    (-1, 0, 0, 1): "GRWB",
    (1, 0, 0, -1): "BWRG",
    (0, 1, 1, 0): "RBGW",
    (0, -1, -1, 0): "WGBR",
    (0, 0, 0, 0): "RGBW",
}


@pytest.mark.parametrize(("matrix", "expected"), ORIENTATIONS.items())
def test_frames_are_shown_as_the_display_matrix_says(tmp_path, matrix, expected):
    plain = encode(tmp_path / "plain.mp4", frames=[quadrants()] * 3, video_options={"qp": "8"})
    frame = next(decoded(with_matrix(plain, tmp_path / "a.mp4", matrix), audio=False).frames())
    pixels = frame.rgb()
    height, width = pixels.shape[:2]
    assert (width, height) == frame.size
    assert (width, height) == ((48, 64) if matrix[0] == 0 and any(matrix) else (64, 48))
    found = ""
    for y, x in ((0, 0), (0, 1), (1, 0), (1, 1)):
        colour = pixels[height * (1 + 2 * y) // 4, width * (1 + 2 * x) // 4].astype(int)
        found += "W" if colour.min() > 150 else "RGB"[int(colour.argmax())]
    assert found == expected


def test_a_hole_is_kept_as_silence_and_what_comes_after_is_on_time(tmp_path):
    audio = np.zeros((1, 4 * 48_000), np.float32)
    audio[0, 2 * 48_000 : 2 * 48_000 + 2_000] = 0.5
    source = encode(tmp_path / "a.mkv", audio=audio, codec="aac", rate=48_000)
    for missing in (1, 4):
        path = remux(source, tmp_path / f"{missing}.mkv", keep=lambda _, n, m=missing: not 30 <= n < 30 + m)
        media = decoded(path, video=False)
        onset = np.argmax(np.abs(media.audio().samples) > 0.1) / 16_000 + media.audio().start
        assert onset == pytest.approx(2.0, abs=0.005)
        ((begin, end),) = media.audio().holes
        assert media.flags("audio") == {"holes": 1, "hole_seconds": pytest.approx(end - begin)}
        first = media.audio().start
        inside = slice(round((begin - first) * 16_000), round((end - first) * 16_000))
        assert not media.audio().samples[inside].any()
        kept = np.delete(samples(media), np.r_[inside])
        np.testing.assert_array_equal(kept, samples_of(path))
    half = round(0.6 * 48_000 / 1024)
    long = remux(source, tmp_path / "long.mkv", keep=lambda _, n: not 30 <= n < 30 + half)
    with pytest.raises(ClipError, match=r"long.mkv: 0\.\d\d s of audio are missing at \d\.\d\d s") as caught:
        decoded(long, video=False).audio()
    assert caught.value.reason == "audio_gap"


@pytest.mark.parametrize("name", ["raw.h264", "b.avi"])
def test_frames_without_times_are_counted(tmp_path, name):
    settings = {"raw.h264": {"form": "h264"}, "b.avi": {"audio": noise(4.0), "codec": "libmp3lame"}}[name]
    path = encode(tmp_path / name, frames=ramp(100), video_options={"bf": "2", "g": "25"}, **settings)
    media = decoded(path)
    assert len(media.frame_times()) == 100
    np.testing.assert_allclose(np.diff(media.frame_times()[:, 0]), 0.04)
    assert np.all(np.diff(looks(media)) > 0)  # in order of presentation
    assert media.flags("video").get("times_made_up", 0) == (100 if name == "raw.h264" else 0)


def test_audio_that_changes_its_rate_goes_on(tmp_path):
    parts = [
        encode(tmp_path / f"{rate}.mp3", audio=noise(1.0, rate), codec="libmp3lame", rate=rate, options=BARE_MP3)
        for rate in (44_100, 48_000)
    ]
    path = tmp_path / "both.mp3"
    path.write_bytes(b"".join(p.read_bytes() for p in parts))
    media = decoded(path, video=False)
    assert media.audio().samples.size == pytest.approx(sum(samples_of(p).size for p in parts), abs=2_000)


def test_a_file_that_starts_late_is_whole_and_half_a_file_is_not_whatever_runs(tmp_path):
    source = encode(tmp_path / "a.mkv", frames=ramp(100), audio=noise(4.0), video_options={"bf": "0"})
    late = remux(source, tmp_path / "late.mkv", shift=100.0)
    media = decoded(late)
    assert len(media.frame_times()) == 100
    assert media.frame_times()[0, 0] == pytest.approx(0, abs=0.03)
    half = tmp_path / "half.mkv"
    half.write_bytes(source.read_bytes()[: len(source.read_bytes()) // 2])
    for audio, video in ((True, True), (True, False), (False, True)):
        media = decoded(half, audio=audio, video=video)
        assert not audio or reason(media.audio) == "truncated"
        assert not video or reason(media.frame_times) == "truncated"


def test_tags_that_are_not_utf_8(tmp_path):
    path = tmp_path / "a.wav"
    with av.open(str(path), "w") as out:
        out.metadata["title"] = "TITLE___"
        stream = out.add_stream("pcm_s16le", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray((noise(1.0, 16_000) * 32_767).astype(np.int16), format="s16", layout="mono")
        frame.sample_rate = 16_000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    plain = samples(decoded(path, video=False))
    data = path.read_bytes()
    assert b"TITLE___" in data
    path.write_bytes(data.replace(b"TITLE___", "テスト".encode("shift_jis") + b"\x00\x00"))
    np.testing.assert_array_equal(samples(decoded(path, video=False)), plain)


def test_the_default_track_is_used_and_another_one_can_be_asked_for(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as out:
        streams = [out.add_stream("pcm_s16le", rate=16_000, layout="mono") for _ in range(2)]
        streams[0].disposition = av.stream.Disposition(0)
        streams[1].disposition = av.stream.Disposition.default
        for level, stream in zip((1_000, 9_000), streams, strict=True):
            frame = av.AudioFrame.from_ndarray(np.full((1, 16_000), level, np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 16_000, 0, Fraction(1, 16_000)
            out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
    assert samples(decoded(path, video=False))[0] == 9_000
    assert samples(decoded(path, video=False, audio_track=0))[0] == 1_000
    with pytest.raises(ClipError, match=r"audio track 2 asked for \(from 0\), 2 found") as caught:
        decoded(path, video=False, audio_track=2).audio()
    assert caught.value.reason == "no_track"


def test_equal_times_cost_one_frame_and_are_flagged(tmp_path):
    source = encode(tmp_path / "a.mkv", frames=ramp(100), video_codec="mjpeg", change_video=full_range)
    path = remux(source, tmp_path / "b.mkv", retime=lambda packet, n: packet.pts - 40 * (n == 50))
    media = decoded(path)
    assert len(media.frame_times()) == 99
    assert media.flags("video") == {"times_not_advancing": 1}


def full_range(stream) -> None:
    stream.pix_fmt = "yuvj420p"


def test_pixels_are_squared_unless_they_nearly_are(tmp_path):
    def wide(aspect):
        return lambda stream: setattr(stream.codec_context, "sample_aspect_ratio", aspect)

    frames = ramp(3, width=64, height=96)
    path = encode(tmp_path / "a.mp4", frames=frames, change_video=wide(Fraction(2)))
    frame = next(decoded(path, audio=False).frames())
    assert frame.size == (128, 96)
    assert frame.rgb().shape == (96, 128, 3)
    assert frame.rgb(short_side=48).shape == (48, 64, 3)
    nearly = encode(tmp_path / "b.mp4", frames=frames, change_video=wide(Fraction(359, 360)))
    assert next(decoded(nearly, audio=False).frames()).size == (64, 96)


def test_interlaced_and_hdr_frames_are_flagged(tmp_path):
    options = {"x264-params": "tff=1:colormatrix=bt2020nc:transfer=smpte2084:colorprim=bt2020"}
    path = encode(tmp_path / "a.mp4", frames=ramp(5, height=64), video_options=options)
    assert decoded(path, audio=False).flags("video") == {"interlaced": 5, "hdr": 5}


def test_interlaced_frames_are_made_whole_where_asked_for(tmp_path):
    """Lines of a moving edge come from two moments: every second one is elsewhere, until they are made whole."""
    fields = [np.zeros((64, 64, 3), np.uint8) for _ in range(20)]
    for i, field in enumerate(fields):
        field[:, : 4 + 3 * i] = 235
    woven = [np.where((np.arange(64) % 2 == 0)[:, None, None], fields[i], fields[i + 1]) for i in range(0, 20, 2)]
    options = {"x264-params": "tff=1", "qp": "1"}
    path = encode(tmp_path / "a.mp4", frames=[f.astype(np.uint8) for f in woven], video_options=options)

    def combing(deinterlace, **clip):
        media = Media(Clip("c", video=path.name, **clip), path.parent, audio=False, deinterlace=deinterlace)
        media.decode()
        ahead = int(deinterlace and "end" in clip)  # the filter looks at the frame after the segment too
        assert media.flags("video")["interlaced"] - len(media.frame_times()) in {0, ahead}
        rows = np.stack([frame.rgb()[..., 0].astype(float) for frame in media.frames()])
        return len(rows), np.abs(rows[:, 1:-1] - (rows[:, :-2] + rows[:, 2:]) / 2).mean(), media.frame_times()

    (count, before, times), (same, after, same_times) = combing(False), combing(True)
    assert count == same == 10
    np.testing.assert_array_equal(times, same_times)
    assert after < before / 3
    assert combing(True, start=0.1, end=0.3)[0] == 5


@pytest.mark.parametrize("name", PLAYLISTS)
def test_a_file_that_names_others_opens_none_of_them(tmp_path, name):
    with watched(tmp_path) as (url, fifo, asked):
        trap = tmp_path / "trap.mp4"
        trap.write_text(PLAYLISTS[name].format(url=url, fifo=fifo))
        assert reason(decoded(trap).audio) == "undecodable"
        assert asked == []


def test_memory_that_a_file_asks_for_is_its_own_error_and_pythons_is_not(tmp_path):
    asked = undecodable(tmp_path / "a.mp4", av.error.MemoryError(12, "Cannot allocate memory"), "audio: ")
    assert (asked.reason, asked.message) == ("undecodable", "a.mp4: audio: asks for more memory than there can be")
    with pytest.raises(MemoryError, match="none left"):
        undecodable(tmp_path / "a.mp4", MemoryError("none left"))


def test_an_empty_data_chunk_is_not_a_missing_stream(tmp_path):
    path = encode(tmp_path / "a.wav", audio=noise(0.1), codec="pcm_s16le")
    data = bytearray(path.read_bytes())
    end = data.find(b"data") + 8
    data[4:8], data[end - 4 : end] = (end - 8).to_bytes(4, "little"), bytes(4)
    path.write_bytes(data[:end])
    with pytest.raises(ClipError, match=r"a.wav: its audio stream holds no audio"):
        decoded(path, video=False).audio()


def test_the_default_video_track_is_used_and_another_one_can_be_asked_for(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as out:
        streams = []
        for width, disposition in ((96, 0), (64, av.stream.Disposition.default)):
            stream = out.add_stream("mpeg4", rate=25)
            stream.width, stream.height, stream.pix_fmt = width, 48, "yuv420p"
            stream.disposition = av.stream.Disposition(disposition)
            streams.append((stream, width))
        for stream, width in streams:
            for i, pixels in enumerate(ramp(10, width=width)):
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame.pts, frame.time_base = i, Fraction(1, 25)
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
    found = decoded(path, audio=False)
    assert (next(found.frames()).size, len(found.frame_times())) == ((64, 48), 10)
    assert next(decoded(path, audio=False, video_track=0).frames()).size == (96, 48)
    assert reason(decoded(path, audio=False, video_track=2).frame_times) == "no_track"
