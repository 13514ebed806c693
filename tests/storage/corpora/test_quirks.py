"""What is odd about each corpus: one test per quirk, on small trees in the owners' layouts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from configs.errors import RunError
from storage.clip import CENTRE, Clip
from storage.corpora import read_corpus
from storage.corpora._shared.report import IngestReport
from storage.ingest import ingest
from storage.manifest import Manifest
from tests.storage.corpora import trees
from tests.storage.corpora.trees import LFS, Tree, media, written


def read(name: str, root: Path, **options: str) -> tuple[dict[str, Clip], IngestReport]:
    root.mkdir(exist_ok=True)
    tree: Tree = getattr(trees, name)(root)
    return listed(name, tree.source, tree.options | options)


def listed(name: str, source: Path, options: dict[str, str]) -> tuple[dict[str, Clip], IngestReport]:
    listing = read_corpus(name, source, options)
    clips = {clip.id: clip for clip in listing.clips}
    return clips, listing.report


def test_meld_takes_the_right_cut_and_says_so(tmp_path):
    clips, report = read("meld", tmp_path)
    assert clips["test_dia38_utt4"].video == "output_repeated_splits_test/final_videos_testdia38_utt4.mp4"
    (note,) = [note for note in report.notes if "there twice" in note]
    assert note.startswith("1 clip there twice; taken: output_repeated_splits_test/final_videos_testdia38_utt4.mp4 for")


def test_meld_restarts_its_numbers_in_each_split(tmp_path):
    clips, report = read("meld", tmp_path)
    one, other = clips["train_dia0_utt0"], clips["dev_dia0_utt0"]
    assert (one.split, one.source_id, one.group) == ("train", "dia0_utt0", "train_dia0")
    assert (other.split, other.source_id, other.group) == ("dev", "dia0_utt0", "dev_dia0")
    assert one.video != other.video
    assert not report.duplicates


def test_meld_keeps_rows_without_a_file_and_reports_files_without_a_row(tmp_path):
    clips, report = read("meld", tmp_path)
    assert clips["dev_dia110_utt7"].video == "dev_splits_complete/dia110_utt7.mp4"
    assert report.missing == ["dev_sent_emo.csv row 3: dev_splits_complete/dia110_utt7.mp4: no such file"]
    assert report.extra == ["dev_splits_complete/dia66_utt9.mp4"]
    assert "split train: 2 clips found, the published corpus has 9989" in report.notes


@pytest.mark.parametrize(("option", "channel"), [("centre", CENTRE), ("mean", None)])
def test_meld_takes_the_centre_channel_or_the_mean(tmp_path, option, channel):
    clips, _ = read("meld", tmp_path, audio=option)
    assert {clip.audio_channel for clip in clips.values()} == {channel}


def test_meld_s_control_characters_are_punctuation_again(tmp_path):
    clips, _ = read("meld", tmp_path)
    assert clips["train_dia0_utt0"].text == "It\u2019s only a test, you know."


def test_meld_s_lengths_are_compared_with_its_table(tmp_path):
    """Cuts of minutes are in the published list: the table says how long an utterance is."""
    tree = trees.meld(tmp_path)
    report = ingest(
        "meld", tree.source, tmp_path / "m.parquet", {}, lambda path: 305.0 if "dia38" in path.name else 1.0
    )
    assert report.outside == ["clip test_dia38_utt4: its media has 305.00 s, its corpus states 1.00 s"]


def test_meld_in_folders_of_other_names(tmp_path):
    tree = trees.meld(tmp_path)
    (tmp_path / "dev_splits_complete").rename(tmp_path / "Dev")
    (tmp_path / "train" / "train_splits").rename(tmp_path / "train" / "clips")
    clips, _ = listed("meld", tree.source, {})
    assert clips["dev_dia0_utt0"].video == "Dev/dia0_utt0.mp4"
    assert clips["train_dia0_utt0"].video == "train/clips/dia0_utt0.mp4"


def test_iemocap_crops_to_the_actor_who_speaks(tmp_path):
    clips, report = read("iemocap", tmp_path)
    female, male = clips["Ses01F_impro01_F000"], clips["Ses01F_impro01_M000"]
    assert (female.crop, male.crop) == ((0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0))
    assert (female.start, female.end, male.start, male.end) == (None, 1.5, 1.5, 3.0)
    assert female.audio_is_cut
    assert female.audio == "Session1/Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav"
    assert "the actor with the markers is taken to be on the left (markers=left|right)" in report.notes
    other, _ = read("iemocap", tmp_path, markers="right")
    assert other["Ses01F_impro01_F000"].crop == male.crop
    whole, _ = read("iemocap", tmp_path, crop="none")
    assert {clip.crop for clip in whole.values()} == {None}


def test_iemocap_s_speaker_is_that_of_the_turn(tmp_path):
    clips, _ = read("iemocap", tmp_path)
    assert [clip.speaker for clip in clips.values()] == ["Ses01F", "Ses01M", "Ses01M", "Ses05F"]
    assert [clip.group for clip in clips.values()] == ["Ses01", "Ses01", "Ses01", "Ses05"]
    assert clips["Ses05M_script01_1b_F003"].folds == {"session": "5"}


def test_iemocap_s_labels_votes_and_dimensions(tmp_path):
    clips, _ = read("iemocap", tmp_path)
    assert [clip.label for clip in clips.values()] == ["neutral", "no_agreement", "excited", "angry"]
    first = clips["Ses01F_impro01_F000"]
    assert first.votes == {"E2": "Neutral", "E3": "Neutral; Sadness", "F1": "Neutral"}
    assert first.dimensions == {"valence": 3.0, "arousal": 2.0, "dominance": 3.5}
    assert set(first.scales.values()) == {"1..5"}
    folded, _ = read("iemocap", tmp_path, excited="happy")
    assert (folded["Ses01F_impro01_M001"].label_raw, folded["Ses01F_impro01_M001"].label) == ("exc", "happy")


def test_iemocap_s_transcripts_have_lines_of_no_turn(tmp_path):
    clips, report = read("iemocap", tmp_path)
    assert clips["Ses01F_impro01_F000"].text == "Hello. [LAUGHTER]"
    assert "1 transcript line of turns without a label, such as Ses01F_impro01_MXX0" in report.notes
    assert "1 transcript line of no turn" in report.notes
    assert "sessions found: Ses01, Ses05" in report.notes


def test_iemocap_without_videos_works_from_its_sentences(tmp_path):
    trees.iemocap(tmp_path)
    for video in list(tmp_path.rglob("*.avi")):
        video.unlink()
    clips, report = listed("iemocap", tmp_path, {})
    assert {clip.video for clip in clips.values()} == {None}
    assert "no dialog/avi: clips have no video" in report.notes


def test_junk_of_operating_systems_is_no_label_file(tmp_path):
    clips, report = read("iemocap", tmp_path)
    assert len(clips) == 4
    assert not [name for name in report.extra if "._" in name]
    mead, report = read("mead", tmp_path / "mead")
    assert len(mead) == 2
    assert not report.extra


def test_crema_d_s_ties_stay_raw_and_have_no_label(tmp_path):
    clips, _ = read("crema_d", tmp_path)
    first = clips["1001_DFA_ANG_XX"]
    assert (first.label_raw, first.label) == ("ANG", "angry")
    assert first.labels == {"voice": "A", "face": "A:D", "multimodal": "A"}
    assert first.votes == {"voice": "A=7 N=3", "multimodal": "A=9 D=1"}
    assert first.about == {
        "sentence": "DFA",
        "level": "XX",
        "age": "40",
        "sex": "Male",
        "race": "Caucasian",
        "ethnicity": "Not Hispanic",
    }
    assert first.text == "Don't forget a jacket"
    perceived, _ = read("crema_d", tmp_path, label="face")
    assert [(clip.label_raw, clip.label) for clip in perceived.values()] == [
        ("A:D", None),
        ("H", "happy"),
        (None, None),
    ]


def test_crema_d_takes_the_wav_and_names_pointers(tmp_path):
    tree = trees.crema_d(tmp_path)
    report = ingest("crema_d", tree.source, tmp_path / "m.parquet", {}, lambda _: 1.0)
    clips = {clip.id: clip for clip in Manifest.open(tmp_path / "m.parquet")}
    first = clips["1001_DFA_ANG_XX"]
    assert (first.video, first.audio) == ("VideoFlash/1001_DFA_ANG_XX.flv", "AudioWAV/1001_DFA_ANG_XX.wav")
    message = "a git-LFS pointer, not media; run `git lfs pull` in its repository"
    assert report.unreadable == [f"VideoFlash/1002_IEO_HAP_HI.flv: {message}"]
    assert report.missing == ["1002_TIE_SAD_XX: no file of this name"]


def test_crema_d_s_older_copies_end_in_one_x(tmp_path):
    media(tmp_path, "AudioWAV/1001_DFA_ANG_XX.wav", "VideoFlash/1001_DFA_ANG_X.flv")
    clips, _ = listed("crema_d", tmp_path, {})
    assert list(clips) == ["1001_DFA_ANG_XX"]
    assert clips["1001_DFA_ANG_XX"].video == "VideoFlash/1001_DFA_ANG_X.flv"


def test_the_same_letter_means_other_emotions_in_other_corpora(tmp_path):
    berlin, _ = read("emodb", tmp_path / "emodb")
    msp, _ = read("msp_improv", tmp_path / "msp")
    assert [(clip.label_raw, clip.label) for clip in berlin.values()] == [
        ("F", "happy"),
        ("L", "boredom"),
        ("W", "angry"),
    ]
    media(tmp_path / "more", "wav/03a01Aa.wav", "wav/03a01Da.wav")
    (fear,) = listed("emodb", tmp_path / "more", {})[0].values()
    assert (fear.label_raw, fear.label) == ("A", "fear")
    assert {clip.label_raw: clip.label for clip in msp.values()} == {"X": "no_agreement", "N": "neutral", "A": "angry"}


def test_emodb_s_names_that_do_not_match_are_reported(tmp_path):
    clips, report = read("emodb", tmp_path)
    assert clips["16b10Wb"].text.startswith("Die wird auf dem Platz sein")
    assert (clips["08a02La"].speaker, clips["08a02La"].about["gender"]) == ("08", "female")
    assert report.extra == ["wav/readme.wav: not a name such as 03a01Fa.wav"]


def test_msp_improv_s_two_prefixes_blanks_and_nan(tmp_path):
    clips, report = read("msp_improv", tmp_path)
    first, second = clips["MSP-IMPROV-S01A-F01-S-FM01"], clips["MSP-IMPROV-S01A-F01-P-MF03"]
    assert first.video == "session1/S01A/S/MSP-IMPROV-S01A-F01-S-FM01.avi"
    assert first.dimensions == {"arousal": 2.25, "valence": 2.75, "dominance": 3.25, "naturalness": 3.5}
    assert first.votes == {"worker1": "Angry", "worker1#2": "Sad"}
    assert "valence" not in second.dimensions
    assert (second.speaker, second.group, second.folds) == ("F01", "01", {"session": "01"})
    assert report.missing == ["turn S02H-M02-T-MF07: no file MSP-IMPROV-S02H-M02-T-MF07.wav or .avi"]
    (tmp_path / "Evalution.txt").rename(tmp_path / "Evaluation.txt")
    assert len(listed("msp_improv", tmp_path, {})[0]) == 3


def test_emotiontalk_s_key_with_a_blank_and_its_marks(tmp_path):
    clips, _ = read("emotiontalk", tmp_path)
    first = clips["G00001_02_01_002"]
    assert first.dimensions == {"continuous": -0.4}
    assert first.text == "测试一句。"
    assert (first.label_raw, first.label, first.labels) == ("angry", "angry", {"audio": "neutral", "text": "sad"})
    assert (first.split, first.votes, first.group) == ("val", {"A": "angry"}, "G00001")
    assert (clips["G00002_01_05_001"].split, clips["G00002_01_05_001"].label) == ("train", "surprise")


def test_ch_sims_s_ids_keep_their_zeros(tmp_path):
    clips, report = read("ch_sims", tmp_path)
    assert [clip.source_id for clip in clips.values()] == list(clips)
    row = clips["aqgy1_0001_00001_1"]
    assert row.video == "Raw/aqgy1_0001/00001_1.mp4"
    assert row.dimensions == {
        "sentiment": -0.4,
        "sentiment_text": -0.2,
        "sentiment_audio": -0.6,
        "sentiment_video": -0.4,
    }
    assert (row.split, row.group, row.labels, row.label_raw) == ("valid", "aqgy1_0001", {"sentiment": "Negative"}, None)
    assert report.missing == ["row 5: video_0002/0001.mp4: no such file"]
    assert set(row.scales.values()) == {"-1..1"}


def test_mosi_has_another_scale(tmp_path):
    written(tmp_path / "label.csv", "video_id,clip_id,text,label,mode\nabc,1,Hi.,-2.4,train\n")
    media(tmp_path, "Raw/abc/1.mp4")
    (clip,) = listed("ch_sims", tmp_path, {})[0].values()
    assert (clip.id, clip.video, clip.scales) == ("abc_1", "Raw/abc/1.mp4", {"sentiment": "-3..3"})


def test_the_first_version_of_ch_sims(tmp_path):
    for column, score in (("M", 0.4), ("T", 0.2), ("A", -0.6)):
        written(tmp_path / f"metadata/sentiment/label_{column}.csv", f"video_id,clip_id,label\nvideo_0001,1,{score}\n")
    written(tmp_path / "metadata/val_index.csv", "0\n")
    written(tmp_path / "metadata/transcript.csv", "video_id,clip_id,text\nvideo_0001,1,你好\n")
    media(tmp_path, "Raw/video_0001/0001.mp4")
    (clip,) = listed("ch_sims", tmp_path, {})[0].values()
    assert (clip.id, clip.video, clip.split, clip.text) == (
        "video_0001_0001",
        "Raw/video_0001/0001.mp4",
        "valid",
        "你好",
    )
    assert clip.dimensions == {"sentiment": 0.4, "sentiment_text": 0.2, "sentiment_audio": -0.6}


def test_eav_s_folders_and_files_are_spelled_in_several_ways(tmp_path):
    clips, _ = read("eav", tmp_path)
    assert clips["subject02_002"].audio == "EAV/subject02__/Audio/002_Trial_02_Speaking_Calmness_aud.wav"
    assert clips["subject01_002"].audio == "EAV/subject1/Audio/002_Trial_02_Speaking_Neutral_Aud.wav"
    assert (clips["subject02_002"].label, clips["subject01_002"].label) == ("calm", "neutral")


def test_eav_s_listening_clips_have_no_audio_and_eeg_is_not_lost(tmp_path):
    clips, _ = read("eav", tmp_path)
    listening, speaking = clips["subject01_001"], clips["subject01_002"]
    assert (listening.audio, listening.about["task"], listening.lacks) == (None, "Listening", ("audio", "text"))
    assert (speaking.about["task"], speaking.lacks) == ("Speaking", ("text",))
    assert speaking.series == {"eeg": "EAV/subject1/EEG/subject1_eeg.mat"}
    assert (speaking.about["eeg_rate"], speaking.about["eeg_channels"]) == ("500 Hz", "30")


def test_caer_s_folders_are_spelled_in_two_ways(tmp_path):
    clips, _ = read("caer", tmp_path)
    assert {clip.id: (clip.split, clip.label) for clip in clips.values()} == {
        "train_anger_0001": ("train", "angry"),
        "test_anger_0001": ("test", "angry"),
        "validation_happy_0001": ("validation", "happy"),
        "s_train_sad_0001": ("train", "sad"),
    }
    image, clip = clips["s_train_sad_0001"], clips["train_anger_0001"]
    assert (image.video, image.audio, image.lacks) == ("CAER-S/train/Sad/0001.png", None, ("audio", "text"))
    assert (clip.video, clip.audio, clip.lacks) == ("CAER/train/Anger/0001.avi",) * 2 + (("text",),)


def test_ferv39k_s_lists_have_no_header_and_its_rate_is_asked_for(tmp_path):
    clips, report = read("ferv39k", tmp_path)
    assert list(clips)[:2] == ["Action_Sad_0010", "School_Happy_0002"]  # the first line counts
    assert (clips["Action_Sad_0010"].video, clips["Action_Sad_0010"].frame_rate) == (
        "FERV39k/2_ClipsforFaceCrop/Action/Sad/0010",
        25.0,
    )
    assert report.missing == ["Action/Fear/0099: no such folder"]
    assert report.extra == ["FERV39k/2_ClipsforFaceCrop/War/Angry/0003"]
    with pytest.raises(RunError, match="does not state how many frames make a second: give --opt rate=25"):
        read_corpus("ferv39k", tmp_path, {})


def test_veatic_s_series_of_other_lengths_and_pairs(tmp_path):
    clips, report = read("veatic", tmp_path)
    assert "video 0: 9 values of arousal, 10 values of valence" in report.notes
    assert clips["0"].series == {
        "arousal": "rating_averaged/0_arousal.csv",
        "valence": "rating_averaged/0_valence.csv",
    }
    assert clips["0"].dimensions == {"valence_mean": pytest.approx(0.12), "arousal_mean": pytest.approx(-0.5)}
    assert clips["98"].group == clips["99"].group != clips["0"].group
    assert clips["0"].lacks == ("audio", "text")
    (tmp_path / "videos").rename(tmp_path / "video")  # as its README has it
    assert listed("veatic", tmp_path, {})[0]["0"].video == "video/0.mp4"


def test_mer2023_s_third_test_has_no_valence(tmp_path):
    clips, _ = read("merr", tmp_path)
    assert clips["sample_99999902"].dimensions == {"valence": 2.0}
    assert (clips["samplenew_99999903"].label, clips["samplenew_99999903"].dimensions) == ("neutral", {})
    assert clips["samplenew_99999903"].split == "test3"


def test_mer2023_in_its_other_layout(tmp_path):
    trees.merr(tmp_path)
    (tmp_path / "mer2023train").mkdir()
    (tmp_path / "test-labels").mkdir()
    for name in ("train", "test3", "train-label.csv"):
        (tmp_path / name).rename(tmp_path / "mer2023train" / name)
    for name in ("test2-label.csv", "test3-label.csv"):
        (tmp_path / name).rename(tmp_path / "test-labels" / name)
    clips, report = listed("merr", tmp_path, {})
    assert clips["sample_99999901"].video == "mer2023train/train/sample_99999901.avi"
    assert clips["samplenew_99999903"].video == "mer2023train/test3/samplenew_99999903.mp4"
    assert report.missing == ["sample_99999909: no file of this name"]


def test_merr_lies_over_other_clips_and_says_who_labelled(tmp_path):
    clips, report = read("merr", tmp_path)
    human, machine = clips["sample_99999901"], clips["sample_99999904"]
    assert (human.label_raw, human.labels, human.about) == ("worried", {"merr": "angry"}, {})
    assert (machine.label_raw, machine.label, machine.about["label_by"]) == ("doubt", None, "MERR, a machine")
    assert (human.text, human.language, clips["sample_99999902"].text) == ("Where is he?", "en", None)
    assert "MERR's coarse list: 2 clips of the 28618 published, 1 of them without a human label" in report.notes
    assert report.extra == ["unlabelled/sample_99999905.mp4"]
    assert "sample_99999905" in read("merr", tmp_path, unlabelled="true")[0]
    assert "sample_99999904" not in read("merr", tmp_path, merr="none")[0]


@pytest.mark.parametrize("name", ["label-disdim.csv", "track1_train.csv"])
def test_later_challenges(tmp_path, name):
    written(tmp_path / name, "name,discrete\nsample_1,angry\n")
    media(tmp_path, "video-labeled/sample_1.mp4")
    (clip,) = listed("merr", tmp_path, {})[0].values()
    assert (clip.video, clip.split, clip.label) == ("video-labeled/sample_1.mp4", "train", "angry")


def test_ravdess_copies_inside_the_tree_are_not_taken(tmp_path):
    clips, report = read("ravdess", tmp_path)
    assert clips["01-01-01-01-01-01"].audio == "Actor_01/03-01-01-01-01-01-01.wav"
    (copy,) = report.duplicates
    assert copy.endswith("repeats Actor_01/03-01-01-01-01-01-01.wav; not taken")
    both = clips["02-03-01-01-01-02"]  # the silent video beside it is no copy
    assert (both.video, both.audio) == ("Actor_02/01-02-03-01-01-01-02.mp4",) * 2
    assert clips["01-08-02-02-02-02"].about["gender"] == "female"


def test_mead_s_views_sound_and_split(tmp_path):
    clips, report = read("mead", tmp_path)
    clip = clips["M003_front_angry_level_1_001"]
    assert (clip.audio, clip.speaker, clip.label) == (clip.video, "M003", "angry")
    assert "actor W017 has no view front, only down" in report.notes
    assert "view front taken; 1 video of down left out (view=all)" in report.notes
    other, _ = read("mead", tmp_path, audio="m4a", view="all")
    assert other["M003_front_angry_level_1_001"].audio == "M003/audio/angry/level_1/001.m4a"
    assert "W017_down_neutral_level_1_001" in other
    media(tmp_path, *(f"M009/video/front/sad/level_2/{number:03d}.mp4" for number in range(1, 10)))
    splits = [clip.split for clip in listed("mead", tmp_path, {})[0].values() if clip.speaker == "M009"]
    assert splits == ["train"] * 3 + ["test"] * 6


def test_emogator_s_unknown_words_stay_raw_and_are_told(tmp_path):
    clips, report = read("emogator", tmp_path)
    assert [(c.label_raw, c.label) for c in clips.values()] == [
        ("Adoration", None),
        ("Triumph", None),
        ("Neutral", "neutral"),
    ]
    assert report.unknown_labels == ["Adoration: 1 clip", "Triumph: 1 clip"]


def test_emobox_s_keys_speakers_channels_and_folds(tmp_path):
    clips, _ = read("emobox", tmp_path)
    first, second, third = clips.values()
    assert (first.speaker, second.speaker) == ("DC", "JE")
    assert (first.audio_channel, second.audio_channel) == (0, 2)
    assert (first.label, second.label, third.label) == ("angry", "boredom", "happy")  # the last by its map
    assert (third.label_raw, third.audio) == ("Wohlgefallen", "down/KL/h01.wav")
    assert (first.folds, second.folds, third.folds) == ({"emobox": "1"}, {"emobox": "2"}, {})
    folded, _ = read("emobox", tmp_path, fold="1")
    assert [clip.split for clip in folded.values()] == ["test", "train", "train"]
    with pytest.raises(RunError, match="fold=9: no such fold; folds of savee: 1, 2"):
        read("emobox", tmp_path, fold="9")


def test_emobox_s_speakers_of_iemocap_are_made_from_its_keys(tmp_path):
    row = {"key": "iemocap-Ses01F_impro01_M003", "wav": "a.wav", "emo": "neu", "spk": "Ses01F"}
    written(tmp_path / "iemocap" / "iemocap.jsonl", json.dumps(row))
    (clip,) = listed("emobox", tmp_path / "iemocap", {"media": str(tmp_path)})[0].values()
    assert clip.speaker == "Ses01M"


def test_emobox_with_several_corpora_asks_which(tmp_path):
    for name in ("savee", "tess"):
        written(tmp_path / name / f"{name}.jsonl", json.dumps({"key": "k", "wav": "a.wav", "emo": "sad"}))
    with pytest.raises(RunError, match="holds the lists of 2 corpora; give dataset=NAME, one of savee, tess"):
        read_corpus("emobox", tmp_path, {})
    assert listed("emobox", tmp_path, {"dataset": "tess"})[1].corpus == "tess"


def test_goemotions_quotes_are_text_and_labels_may_be_several(tmp_path):
    clips, report = read("text", tmp_path)
    first = clips["abc0001"]
    assert first.text == 'He said "no, [NAME] did it.'
    assert (first.label_set, first.label_raw, first.label) == (("annoyance", "disapproval"), None, None)
    assert (clips["abc0002"].label, clips["abc0003"].label_raw, clips["abc0003"].label) == ("neutral", "fear", "fear")
    assert report.refused == ["train.tsv row 3: expected text, label numbers below 28 and an id, divided by tabs"]
    assert (first.video, first.audio, first.lacks) == (None, None, ("audio", "video"))


def test_goemotions_by_ekman(tmp_path):
    written(tmp_path / "train.tsv", "Thanks\t15\ta\n")
    assert listed("text", tmp_path, {"format": "goemotions"})[0]["a"].label is None
    clip = listed("text", tmp_path, {"format": "goemotions", "ekman": "true"})[0]["a"]
    assert (clip.label_raw, clip.label) == ("gratitude", "happy")


def test_emotion_stimulus_closes_its_tags_with_a_backslash(tmp_path):
    written(tmp_path / "Emotion Cause.txt", "<happy>She smiled <cause>at the result<\\cause> .<\\happy>\n<x>no</x>\n")
    clips, report = listed("text", tmp_path, {})
    assert [(c.text, c.label_raw, c.label) for c in clips.values()] == [
        ("She smiled at the result .", "happy", "happy")
    ]
    assert report.refused == ["Emotion Cause.txt row 2: expected <emotion>text<\\emotion>"]


def test_dailydialog_s_separators_and_counts(tmp_path):
    folder = tmp_path / "ijcnlp_dailydialog"
    written(folder / "dialogues_text.txt", "Hi . __eou__ Hello ! __eou__\nOne . __eou__ Two . __eou__\n")
    written(folder / "dialogues_emotion.txt", "0 4 \n1 \n")
    clips, report = listed("text", tmp_path, {})
    assert [(c.text, c.label_raw, c.label) for c in clips.values()] == [
        ("Hi .", "no emotion", "neutral"),
        ("Hello !", "happiness", "happy"),
    ]
    assert report.refused == ["dialogues_text.txt row 2: 2 utterances and the labels 1"]
    written(folder / "train" / "dialogues_train.txt", "Hi . __eou__\n")
    written(folder / "train" / "dialogues_emotion_train.txt", "0\n")
    split, _ = listed("text", tmp_path, {})  # the split's files say the same again, with their splits
    assert [(c.id, c.split) for c in split.values()] == [("train_1_0", "train")]


def test_emotionlines_and_emotionx(tmp_path):
    said = {"speaker": "A", "utterance": "It\u0092s a test", "emotion": "non-neutral", "annotation": "1111100"}
    written(tmp_path / "one" / "friends_train.json", json.dumps([[said]]))
    (clip,) = listed("text", tmp_path / "one", {})[0].values()
    assert (clip.text, clip.label_raw, clip.label) == ("It\u2019s a test", "non-neutral", "no_agreement")
    assert (clip.votes["joy"], clip.split, clip.about["turn"]) == ("1", "train", "0")
    written(tmp_path / "two" / "friends.augmented.json", json.dumps([[said | {"utterance_de": "Ein Test"}]]))
    (clip,) = listed("text", tmp_path / "two", {})[0].values()
    assert (clip.split, clip.about["utterance_de"]) == (None, "Ein Test")


def test_emobank_and_semeval(tmp_path):
    written(tmp_path / "e" / "emobank.csv", 'id,split,V,A,D,text\nT_1,train,3.0,2.8,3.1,"He called it ""fine""."\n')
    (clip,) = listed("text", tmp_path / "e", {})[0].values()
    assert (clip.text, clip.dimensions["valence"], clip.scales["valence"]) == ('He called it "fine".', 3.0, "1..5")
    names = [
        "anger",
        "anticipation",
        "disgust",
        "fear",
        "joy",
        "love",
        "optimism",
        "pessimism",
        "sadness",
        "surprise",
        "trust",
    ]
    rows = ["\t".join(["ID", "Tweet", *names]), "\t".join(["2018-En-1", "@user fine", *"00001010000"])]
    written(tmp_path / "s" / "2018-E-c-En-dev.txt", "\n".join(rows))
    (clip,) = listed("text", tmp_path / "s", {})[0].values()
    assert (clip.label_set, clip.split, clip.label_raw) == (("joy", "optimism"), "dev", None)


def test_presets_of_the_table(tmp_path):
    media(tmp_path / "u", "files/0a--b/joyfully.wav", "files/0a--b/joyfully(1).wav", "files/0c--d/euphoric.wav")
    written(tmp_path / "u" / "speech emotion recognition.csv", "set_id,text,gender\n0a--b,Hello,female\n")
    clips, report = listed("table", tmp_path / "u", {"preset": "unidata"})
    assert [(c.label_raw, c.label, c.text) for c in clips.values()] == [
        ("joyfully", "happy", "Hello"),
        ("joyfully", "happy", "Hello"),
        ("euphoric", None, None),
    ]
    assert len({clip.group for clip in clips.values()}) == 2
    assert "1 set not in the table: no text, such as 0c--d" in report.notes
    media(tmp_path / "n", "T0001G0003S00001.wav", "T0001G0003S00002.wav")
    written(tmp_path / "n" / "T0001G0003S00001.txt", "Well {-laughter=yes-}.\n")
    clips, report = listed("table", tmp_path / "n", {"preset": "nexdata"})
    assert [clip.text for clip in clips.values()] == ["Well {-laughter=yes-}.", None]
    assert "1 recording without a transcript, such as T0001G0003S00002.wav" in report.notes
    media(tmp_path / "v", "a/b.wav")
    written(tmp_path / "v" / "C_data_files.tsv", "a/b.wav\tA\t-1\tdeu\tde\tEmoDB+03\tm\tEmoDB\n")
    (clip,) = listed("table", tmp_path / "v", {"preset": "multilingual_valence"})[0].values()
    assert (clip.id, clip.dimensions, clip.speaker, clip.label) == ("a.b", {"valence": -1.0}, "EmoDB+03", None)


def test_eev_s_unit_is_wrong_and_pointers_are_told(tmp_path):
    header = "Video ID,Timestamp (milliseconds),amusement,anger\n"
    rows = "abcdefghijk,0,0.5,0.0\nabcdefghijk,166666,0.0,0.0\nlmnopqrstuv,0,0.1,0.0\n"
    written(tmp_path / "train.csv", header + rows)
    (tmp_path / "val.csv").write_bytes(LFS)
    clips, report = listed("table", tmp_path, {"preset": "eev"})
    assert {clip.id: clip.about["expression_rows"] for clip in clips.values()} == {
        "abcdefghijk": "2",
        "lmnopqrstuv": "1",
    }
    assert clips["abcdefghijk"].series == {"expression": "train.csv"}
    assert "times of the table are microseconds, although its header says milliseconds" in report.notes
    assert "val.csv: a git-LFS pointer, left out; run `git lfs pull` in its repository" in report.notes
    assert "train.csv: 2 videos, 1 row of zeros (no face found)" in report.notes


def test_a_label_without_a_counterpart_stays_raw_and_is_told(tmp_path):
    """Such as MMEmoRec's `hate`."""
    written(tmp_path / "t.csv", "id,text,emotion\n1,a,hate\n2,b,happy\n")
    clips, report = listed("table", tmp_path / "t.csv", {})
    assert [clip.label for clip in clips.values()] == [None, "happy"]
    assert report.unknown_labels == ["hate: 1 clip"]
