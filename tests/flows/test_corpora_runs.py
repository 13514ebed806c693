"""Corpora with real media, from their owners' layout to stored values: those of the right half, channel and segment."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from storage import open_store
from tests.media import square, tone, write_clip
from tests.storage.corpora import trees
from tests.storage.corpora.trees import written

pytestmark = pytest.mark.without_prefect

CONFIG = """
extractors:
  - {name: gemaps}
  - {name: quality}
  - {name: text, weights: {random: {seed: 0, size: tiny}}}
faces: {detector: center}
"""
PITCH = "F0semitoneFrom27.5Hz_sma3nz"


@pytest.fixture
def extract(merflow, tmp_path):
    """Ingest a corpus and extract everything; gives the store and the clips."""
    (tmp_path / "c.yaml").write_text(CONFIG, encoding="utf-8")

    def call(corpus: str, source, *options: str, expect: int = 0):
        given = [word for option in options for word in ("--opt", option)]
        line = ("run", "-c", tmp_path / "c.yaml", "--corpus", corpus, source, "-s", tmp_path / "s", *given)
        merflow(*line, expect=expect)
        store = open_store(tmp_path / "s")
        return store, {clip.id: clip for clip in store.clips()}

    return call


def states(merflow, tmp_path) -> dict[str, dict[str, str]]:
    rows = merflow("clips", tmp_path / "s", "--json").stdout.splitlines()
    return {row["id"]: {name: s["state"] for name, s in row["features"].items()} for row in map(json.loads, rows)}


def hertz(store, clip: str) -> float:
    """The clip's median pitch."""
    features = store.get(clip, "gemaps")
    pitch = features.values[:, store.specs["gemaps"].columns.index(PITCH)]
    return float(27.5 * 2 ** (np.median(pitch[pitch > 0]) / 12))


def reasons(store, feature: str) -> dict[str, str]:
    return {f.clip_id: f.reason for f in store.failures if f.feature == feature and f.state == "failed"}


def quality(store, clip: str, column: str) -> float:
    return float(store.get(clip, "quality").values[0, store.specs["quality"].columns.index(column)])


def test_turns_of_a_dialogue_are_cut_and_cropped(extract, tmp_path):
    """The actor with the markers on the left, still and dark; the other one on the right, checkered."""
    tree = trees.iemocap(tmp_path / "IEMOCAP")
    frames = []
    for index in range(125):
        frame = np.zeros((240, 360, 3), np.uint8)
        frame[:, 180:] = 255 * (np.indices((240, 180)).sum(0) // 8 % 2)[..., None] * (index >= 37)
        frames.append(frame)
    (video,) = tree.source.rglob("*.avi")
    write_clip(video.with_suffix(".mp4"), frames=frames, audio=None)
    video.with_suffix(".mp4").rename(video)
    for number, audio in enumerate(sorted(tree.source.rglob("sentences/wav/*/Ses*.wav"))):
        write_clip(audio, video=False, audio=tone(1.5, hertz=150.0 + 100 * number))
    store, clips = extract("iemocap", tree.source, expect=1)  # three audio_files and a video are not there
    female, male = "Ses01F_impro01_F000", "Ses01F_impro01_M000"
    assert (quality(store, female, "width"), quality(store, male, "width")) == (180, 180)
    assert quality(store, female, "sharpness") < 1 < quality(store, male, "sharpness")
    assert (quality(store, female, "duration"), quality(store, male, "duration")) == (
        pytest.approx(1.5, abs=0.021),
        pytest.approx(1.5, abs=0.021),
    )
    assert hertz(store, female) == pytest.approx(150, rel=0.02)
    assert hertz(store, male) == pytest.approx(350, rel=0.02)
    assert clips[female].text == "Hello. [LAUGHTER]"
    lost = ("Ses01F_impro01_M001", "Ses05M_script01_1b_F003")
    assert reasons(store, "gemaps") == dict.fromkeys(lost, "missing_file")


def test_the_dialogue_is_in_the_centre_channel(extract, tmp_path):
    tree = trees.meld(tmp_path / "MELD")
    silence, voice = 0 * tone(1.0), tone(1.0, hertz=400.0)
    music = tone(1.0, hertz=150.0)
    six = np.concatenate([music, music, voice, silence, music, music])
    for clip in tree.source.rglob("*.mp4"):
        write_clip(clip, audio=six if "train" in str(clip) else tone(1.0, hertz=250.0))
    (tree.source / "train" / "train_splits" / "dia125_utt3.mp4").write_bytes(bytes(range(20)))
    store, _ = extract("meld", tree.source, expect=1)
    assert hertz(store, "train_dia0_utt0") == pytest.approx(400, rel=0.02)
    assert hertz(store, "dev_dia0_utt0") == pytest.approx(250, rel=0.02)
    assert reasons(store, "gemaps") == {"train_dia125_utt3": "undecodable", "dev_dia110_utt7": "missing_file"}


def test_folders_of_frames_and_single_images(extract, merflow, tmp_path):
    tree = trees.ferv39k(tmp_path / "F")
    for index, image in enumerate(sorted(tree.source.rglob("*.jpg"))):
        Image.fromarray(square(index)).save(image)
    store, _ = extract("ferv39k", tree.source, "rate=10", expect=1)
    assert quality(store, "Action_Sad_0010", "fps") == pytest.approx(10)
    assert quality(store, "Action_Sad_0010", "duration") == pytest.approx(0.3)
    found = states(merflow, tmp_path)
    assert found["Action_Sad_0010"] == {"faces": "stored", "quality": "stored", "gemaps": "skipped", "text": "skipped"}
    assert reasons(store, "quality") == {"Action_Fear_0099": "missing_file"}  # tried again when it is there


def test_single_images_beside_clips(extract, merflow, tmp_path):
    tree = trees.caer(tmp_path / "CAER")
    Image.fromarray(square(0)).save(tree.source / "CAER-S" / "train" / "Sad" / "0001.png")
    for clip in tree.source.rglob("*.avi"):
        write_clip(clip.with_suffix(".mp4"), audio=None if "Happy" in str(clip) else "tone")
        clip.with_suffix(".mp4").rename(clip)
    store, clips = extract("caer", tree.source, expect=1)  # one clip has no audio, which the corpus should have
    assert reasons(store, "gemaps") == {"validation_happy_0001": "no_audio"}
    found = states(merflow, tmp_path)
    assert found["s_train_sad_0001"] == {"faces": "stored", "quality": "stored", "gemaps": "skipped", "text": "skipped"}
    assert found["train_anger_0001"]["gemaps"] == "stored"
    assert quality(store, "s_train_sad_0001", "width") == 160
    assert clips["s_train_sad_0001"].duration == 0


def test_audio_only_and_text_only(extract, merflow, tmp_path):
    tree = trees.emodb(tmp_path / "E")
    for number, audio in enumerate(sorted(tree.source.rglob("*.wav"))[1:4]):
        write_clip(audio, video=False, audio=tone(0.5, hertz=150.0 + 100 * number))
    store, _ = extract("emodb", tree.source)
    assert [hertz(store, clip) for clip in tree.ids] == [pytest.approx(150 + 100 * i, rel=0.02) for i in range(3)]
    assert {s["quality"] for s in states(merflow, tmp_path).values()} == {"skipped"}
    trees.text(tmp_path / "G")
    store, _ = extract("text", tmp_path / "G")
    assert states(merflow, tmp_path)["abc0001"] == {
        "faces": "skipped",
        "quality": "skipped",
        "gemaps": "skipped",
        "text": "stored",
    }


def test_a_image_with_speech_and_text(extract, tmp_path):
    Image.fromarray(square(0)).save(tmp_path / "p.jpg")
    write_clip(tmp_path / "p.wav", video=False, audio=tone(0.5, hertz=300.0))
    written(tmp_path / "t.csv", "id,image,audio,text,emotion\na,p.jpg,p.wav,Hello,hate\n")
    store, clips = extract("table", tmp_path / "t.csv")
    assert hertz(store, "a") == pytest.approx(300, rel=0.02)
    assert quality(store, "a", "width") == 160
    assert store.get("a", "text").valid.all()
    assert clips["a"].label is None


def test_a_channel_of_a_recording_and_folders_of_frames_by_a_table(extract, tmp_path):
    write_clip(
        tmp_path / "call.wav", video=False, audio=np.concatenate([tone(1.0, hertz=200.0), tone(1.0, hertz=320.0)])
    )
    (tmp_path / "frames").mkdir()
    for index in range(5):
        Image.fromarray(square(index)).save(tmp_path / "frames" / f"{index}.png")
    rows = "a,call.wav,,0,hello\nb,call.wav,,1,yes\n"
    written(tmp_path / "t.csv", "id,audio,video,channel,text\n" + rows)
    store, _ = extract("table", tmp_path / "t.csv", "video=", expect=1)  # no video, and nobody says that there is none
    assert (hertz(store, "a"), hertz(store, "b")) == (pytest.approx(200, rel=0.02), pytest.approx(320, rel=0.02))
    written(tmp_path / "f.csv", "id,video,text\nf,frames,look\n")
    store, clips = extract("table", tmp_path / "f.csv", "frame_rate==5", expect=1)
    assert quality(store, "f", "duration") == pytest.approx(1.0)
    assert clips["f"].audio is None


def test_what_a_corpus_says_is_shown_by_inspect(extract, merflow, tmp_path):
    tree = trees.eav(tmp_path / "EAV")
    for path in [*tree.source.rglob("*.mp4"), *tree.source.rglob("*.wav")]:
        write_clip(path, seconds=0.6, video=path.suffix == ".mp4")
    extract("eav", tree.source)
    said = merflow("inspect", tmp_path / "s", "subject01_002").stdout
    assert "series: eeg = EAV/subject1/EEG/subject1_eeg.mat" in said
    assert "about: task = Speaking, trial = 02, eeg_rate = 500 Hz, eeg_channels = 30" in said
    found = json.loads(merflow("inspect", tmp_path / "s", "subject01_002", "--json").stdout)
    assert found["known"]["series"] == {"eeg": "EAV/subject1/EEG/subject1_eeg.mat"}
    assert found["known"]["label"] == "neutral"


@pytest.mark.slow
def test_every_visual_extractor_runs_on_folders_of_frames_and_on_single_images(merflow, tmp_path):
    tiny = "weights: {random: {seed: 0, size: tiny}}"
    names = ("action_units", "mae", "eva", "videomae")
    entries = "".join(f"  - {{name: {name}, {tiny}}}\n" for name in names)
    config = "extractors:\n  - {name: quality}\n  - {name: au_peak}\n" + entries + "faces: {detector: center}\n"
    (tmp_path / "c.yaml").write_text(config, encoding="utf-8")
    frames = trees.ferv39k(tmp_path / "F")
    for index, file in enumerate(sorted(frames.source.rglob("*.jpg"))):
        Image.fromarray(square(index)).save(file)
    Image.fromarray(square(0)).save(tmp_path / "one.png")
    written(tmp_path / "t.csv", "id,image\none,one.png\n")
    for corpus, source, opts in (("ferv39k", frames.source, ("--opt", "rate=25")), ("table", tmp_path / "t.csv", ())):
        line = ("run", "-c", tmp_path / "c.yaml", "--corpus", corpus, source, *opts, "-s", tmp_path / "s")
        merflow(*line, expect=1 if corpus == "ferv39k" else 0)  # one listed folder is not there
    found = states(merflow, tmp_path)
    features = {"faces", "quality", "au_peak", *names}
    for clip in ("Action_Sad_0010", "School_Happy_0002", "one"):
        assert found[clip] == dict.fromkeys(features, "stored"), clip
    store = open_store(tmp_path / "s")
    assert [len(store.get("Action_Sad_0010", name).values) for name in ("mae", "action_units")] == [3, 3]
    assert [len(store.get("one", name).values) for name in ("mae", "action_units")] == [1, 1]
