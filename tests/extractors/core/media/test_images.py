"""Frames that are files of their own, audio that is cut already, and the centre channel of surround audio."""

from __future__ import annotations

import warnings

import av
import numpy as np
import pytest
from PIL import Image

from extractors.core.media.clip_media import Media
from extractors.core.media.frame_reader import MediaFrameReader
from storage.clip import CENTRE, Clip
from storage.errors import ClipError
from storage.media_files import has_changed, image_files, sha256_of, state_of
from tests.media import square, tone, write_clip

RATE = 44_100


def folder_of(path, count=12, name="{}.png"):
    path.mkdir()
    for index in range(count):
        Image.fromarray(square(index)).save(path / name.format(index + 1))
    return path


def decoded(root, **clip):
    media = Media(Clip("c", **clip), root)
    media.decode()
    return media


def test_a_folder_of_images_is_its_frames_in_the_order_of_their_numbers(tmp_path):
    folder_of(tmp_path / "f")
    (tmp_path / "f" / "notes.txt").write_text("no image")
    (tmp_path / "f" / "._1.png").write_bytes(b"junk")
    assert [file.stem for file in image_files(tmp_path / "f")] == [str(number) for number in range(1, 13)]
    media = decoded(tmp_path, video="f", frame_rate=25.0)
    frames = list(media.frames())
    assert len(frames) == 12
    for index, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.rgb(), square(index))
    np.testing.assert_allclose(media.frame_times(), [[i / 25, (i + 1) / 25] for i in range(12)], atol=1e-9)
    with pytest.raises(ClipError, match="the manifest names no audio"):
        media.audio()


def test_a_segment_of_a_folder_and_one_that_does_not_fit_in_memory(tmp_path):
    folder_of(tmp_path / "f")
    media = decoded(tmp_path, video="f", frame_rate=10.0, start=0.3, end=0.7)
    assert [frame.rgb().tobytes() for frame in media.frames()] == [square(i).tobytes() for i in range(3, 7)]
    np.testing.assert_allclose(media.frame_times()[[0, -1]], [[0, 0.1], [0.3, 0.4]], atol=1e-9)
    spilled = Media(Clip("c", video="f", frame_rate=10.0), tmp_path, frame_cache_bytes=square(0).nbytes)
    spilled.decode()
    assert [frame.rgb().tobytes() for frame in spilled.frames()] == [square(i).tobytes() for i in range(12)]
    assert spilled.video_passes == 2
    late = decoded(tmp_path, video="f", frame_rate=10.0, start=0.3, end=9.0)
    with pytest.raises(ClipError) as error:
        late.frame_times()
    assert error.value.reason == "truncated"


def test_a_single_image_is_one_frame(tmp_path):
    Image.fromarray(square(3)).save(tmp_path / "p.png")
    media = decoded(tmp_path, video="p.png", crop=(0.5, 0.0, 1.0, 1.0))
    (frame,) = media.frames()
    np.testing.assert_array_equal(frame.rgb(), square(3)[:, 80:])
    assert media.frame_times().tolist() == [[0.0, 0.04]]  # as any lone frame of which nobody says how long it is shown


def test_images_of_every_form(tmp_path):
    grey = np.linspace(0, 65535, 120 * 160).reshape(120, 160).astype(np.uint16)
    Image.fromarray(grey).save(tmp_path / "deep.png")
    Image.fromarray(square(0)).convert("P").save(tmp_path / "palette.png")
    Image.fromarray(square(0)).convert("CMYK").save(tmp_path / "cmyk.jpg")
    Image.fromarray(np.dstack([square(0), np.zeros((120, 160), np.uint8)])).save(tmp_path / "clear.png")
    turned = Image.fromarray(square(0))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    shown = {path.stem: next(decoded(tmp_path, video=path.name).frames()).rgb() for path in tmp_path.iterdir()}
    assert (shown["deep"] == (grey >> 8)[..., None]).all()
    np.testing.assert_array_equal(shown["clear"], square(0))
    assert shown["turned"].shape == (160, 120, 3)
    assert np.abs(shown["turned"].astype(int) - np.rot90(square(0), -1)).mean() < 6
    assert shown["cmyk"].shape == shown["palette"].shape == (120, 160, 3)


def test_what_is_no_image_has_its_reason(tmp_path):
    folder_of(tmp_path / "f", 3)
    (tmp_path / "f" / "2.png").write_bytes(b"not an image")
    (tmp_path / "lfs.jpg").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "none").mkdir()
    Image.new("1", (18_000, 10_000)).save(tmp_path / "bomb.png")
    Image.new("1", (10_000, 9_500)).save(tmp_path / "large.png")
    reasons = {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("f", "lfs.jpg", "empty.jpg", "none", "gone", "gone.png", "bomb.png", "large.png"):
            rate = 25.0 if name in {"f", "none", "gone"} else None
            media = decoded(tmp_path, video=name, frame_rate=rate)
            try:
                media.frame_times()
            except ClipError as error:
                reasons[name] = error.reason
    assert reasons == {
        "f": "undecodable",
        "lfs.jpg": "lfs_pointer",
        "empty.jpg": "empty_file",
        "none": "missing_file",
        "gone": "missing_file",
        "gone.png": "missing_file",
        "bomb.png": "undecodable",
    }
    folder_of(tmp_path / "g", 3)
    with pytest.raises(ClipError) as error:
        decoded(tmp_path, video="g").frame_times()
    assert error.value.reason == "no_rate"


def test_a_folder_that_changed_is_another_one(tmp_path):
    folder = folder_of(tmp_path / "f", 3)
    record = f"{sha256_of(folder)} {state_of(folder)} 3.0"
    assert not has_changed(folder, record)
    clip = {"video": "f", "frame_rate": 25.0, "files": {"video": record}}
    assert len(decoded(tmp_path, **clip).frame_times()) == 3
    Image.fromarray(square(9)).save(folder / "2.png")
    assert has_changed(folder, record)
    with pytest.raises(ClipError) as error:
        decoded(tmp_path, **clip).frame_times()
    assert error.value.reason == "media_changed"


def test_exports_read_images_too(tmp_path):
    folder_of(tmp_path / "f", 3)
    frames = list(MediaFrameReader().frames(Clip("c", video="f", frame_rate=5.0), tmp_path))
    assert [frame.tobytes() for frame in frames] == [square(i).tobytes() for i in range(3)]


def test_audio_that_is_cut_already_is_read_whole_beside_a_segment_of_video(tmp_path):
    write_clip(tmp_path / "dialogue.mp4", seconds=4)
    write_clip(tmp_path / "turn.wav", seconds=1, video=False, audio=tone(1.0, hertz=600.0))
    clip = {"video": "dialogue.mp4", "audio": "turn.wav", "start": 2.0, "end": 3.0}
    media = decoded(tmp_path, **clip, audio_is_cut=True)
    alone = decoded(tmp_path, audio="turn.wav")
    np.testing.assert_array_equal(media.audio().samples, alone.audio().samples)
    assert media.audio().start == 0
    assert len(media.frame_times()) == 25
    with pytest.raises(ClipError):
        decoded(tmp_path, **clip).audio()  # a second at 2 s of a file of one second


@pytest.mark.parametrize(
    ("layout", "centre"), [("5.1", 2), ("3.0", 2), ("quad", None), ("stereo", None), ("mono", None)]
)
def test_the_centre_channel_of_surround_sound_and_the_mix_of_any_other(tmp_path, layout, centre):
    channels = len(av.AudioLayout(layout).channels)
    waves = np.concatenate([tone(1.0, hertz=200.0 + 100 * i) for i in range(channels)])
    with av.open(str(tmp_path / "a.wav"), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=RATE)
        stream.layout = layout
        frame = av.AudioFrame.from_ndarray(
            (waves.T.reshape(1, -1) * 32767).astype(np.int16), format="s16", layout=layout
        )
        frame.sample_rate = RATE
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    got = decoded(tmp_path, audio="a.wav", audio_channel=CENTRE).audio().samples
    expected = decoded(tmp_path, audio="a.wav", audio_channel=centre).audio().samples
    np.testing.assert_array_equal(got, expected)
    if centre is not None:
        spectrum = np.abs(np.fft.rfft(got))
        assert abs(np.argmax(spectrum) * 16000 / len(got) - (200 + 100 * centre)) < 5
        assert not np.array_equal(got, decoded(tmp_path, audio="a.wav").audio().samples)
