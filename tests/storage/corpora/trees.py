"""Small corpora in their owners' layouts, with invented values: what the conformance suite and the quirk tests read."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 4\n"


@dataclass(frozen=True)
class Tree:
    """A corpus on disk.

    Attributes:
        source: What the reader is pointed at.
        options: The reader's options.
        ids: Ids of its clips, in order.
        missing: Media files that rows name and that are not there.
        extra: Media files that no row names.
        recognised: Whether the folder shows by itself what it is.
    """

    source: Path
    options: dict[str, str] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)
    missing: int = 0
    extra: int = 0
    recognised: bool = True


def media(root: Path, *names: str) -> None:
    """Files that are not media yet: their names as bytes."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())


def written(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def emodb(root: Path) -> Tree:
    media(root, "wav/03a01Fa.wav", "wav/08a02La.wav", "wav/16b10Wb.wav", "wav/readme.wav", "wav/._03a01Fa.wav")
    return Tree(root, {}, ["03a01Fa", "08a02La", "16b10Wb"], extra=1)


def ravdess(root: Path) -> Tree:
    media(root, "Actor_01/03-01-01-01-01-01-01.wav", "Actor_02/03-01-08-02-02-02-02.wav")
    media(root, "Actor_02/01-02-03-01-01-01-02.mp4", "Actor_02/02-02-03-01-01-01-02.mp4")
    media(root, "audio_speech_actors_01-24/Actor_01/03-01-01-01-01-01-01.wav")
    return Tree(root, {}, ["01-01-01-01-01-01", "02-03-01-01-01-02", "01-08-02-02-02-02"])


def emogator(root: Path) -> Tree:
    names = ("000001-01-1", "000001-30-3", "000357-18-2")
    media(root, *(f"data/mp3/{name}.mp3" for name in names), "data/category_names.pt")
    return Tree(root, {}, list(names))


def crema_d(root: Path) -> Tree:
    media(root, "AudioWAV/1001_DFA_ANG_XX.wav", "AudioWAV/1002_IEO_HAP_HI.wav", "VideoFlash/1001_DFA_ANG_XX.flv")
    (root / "VideoFlash/1002_IEO_HAP_HI.flv").write_bytes(LFS)
    listed = '"Stimulus_Number","Filename"\n1,"1001_DFA_ANG_XX"\n2,"1002_IEO_HAP_HI"\n3,"1002_TIE_SAD_XX"\n'
    written(root / "SentenceFilenames.csv", listed)
    people = '"ActorID","Age","Sex","Race","Ethnicity"\n1001,40,"Male","Caucasian","Not Hispanic"\n'
    written(root / "VideoDemographics.csv", people)
    summary = '"","FileName","VoiceVote","VoiceLevel","FaceVote","FaceLevel","MultiModalVote","MultiModalLevel"\n'
    summary += (
        '"1","1001_DFA_ANG_XX","A","70.5","A:D","64","A","71.2"\n"2","1002_IEO_HAP_HI","N","50","H","60","H:N","61"\n'
    )
    written(root / "processedResults" / "summaryTable.csv", summary)
    votes = '"","A","D","F","H","N","S","fileName","numResponses"\n"100001",7,0,0,0,3,0,"1001_DFA_ANG_XX",10\n'
    votes += '"300001",9,1,0,0,0,0,"1001_DFA_ANG_XX",10\n'
    written(root / "processedResults" / "tabulatedVotes.csv", votes)
    return Tree(root, {}, ["1001_DFA_ANG_XX", "1002_IEO_HAP_HI", "1002_TIE_SAD_XX"], missing=1)


def mead(root: Path) -> Tree:
    media(root, "M003/video/front/angry/level_1/001.mp4", "M003/audio/angry/level_1/001.m4a")
    media(root, "W017/video/down/neutral/level_1/001.mp4", "W009_video/video/front/happy/level_3/002.mp4")
    media(root, "M003/.DS_Store")
    return Tree(root, {}, ["M003_front_angry_level_1_001", "W009_front_happy_level_3_002"])


def eav(root: Path) -> Tree:
    first, second = "EAV/subject1/", "EAV/subject02__/"
    media(root, f"{first}Video/001_Trial_01_Listening_Neutral.mp4", f"{first}Video/002_Trial_02_Speaking_Neutral.mp4")
    media(root, f"{first}Audio/002_Trial_02_Speaking_Neutral_Aud.wav", f"{first}EEG/subject1_eeg.mat")
    media(root, f"{second}Video/002_Trial_02_Speaking_Calmness.mp4")
    media(root, f"{second}Audio/002_Trial_02_Speaking_Calmness_aud.wav")
    return Tree(root, {}, ["subject02_002", "subject01_002", "subject01_001"])


def caer(root: Path) -> Tree:
    media(root, "CAER/train/Anger/0001.avi", "CAER/validation/Happy/0001.avi", "CAER/Test/Angry/0001.avi")
    media(root, "CAER-S/train/Sad/0001.png")
    return Tree(root, {}, ["test_anger_0001", "train_anger_0001", "validation_happy_0001", "s_train_sad_0001"])


def meld(root: Path) -> Tree:
    media(root, "train/train_splits/dia0_utt0.mp4", "train/train_splits/dia125_utt3.mp4")
    media(root, "dev_splits_complete/dia0_utt0.mp4", "dev_splits_complete/dia66_utt9.mp4")
    media(root, *(f"output_repeated_splits_test/{final}dia38_utt4.mp4" for final in ("", "final_videos_test")))
    columns = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime"
    rows = {
        "train": [
            '1,"It\u0092s only a test, you know.",Monica,neutral,neutral,0,0,1,1,"00:00:01,000","00:00:02,000"',
            '2,Nobody can open this one.,Ross,anger,negative,125,3,1,1,"0:00:03,000","00:00:04,000"',
        ],
        "dev": [
            '1,Again.,Monica,joy,positive,0,0,1,2,"00:00:01,000","00:00:02,000"',
            '3,Absent.,Ross,sadness,negative,110,7,1,2,"00:00:05,000","00:00:06,000"',
        ],
        "test": ['9,The right cut.,Joey,fear,negative,38,4,1,3,"00:10:00,000","00:10:01,000"'],
    }
    for split, lines in rows.items():
        written(root / f"{split}_sent_emo.csv", "\r\n".join([columns, *lines, ""]))
    ids = ["train_dia0_utt0", "train_dia125_utt3", "dev_dia0_utt0", "dev_dia110_utt7", "test_dia38_utt4"]
    return Tree(root, {}, ids, missing=1, extra=1)


def iemocap(root: Path) -> Tree:
    head = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
    turns = (
        "[0.0000 - 1.5000]\tSes01F_impro01_F000\tneu\t[3.0000, 2.0000, 3.5000]\nC-E2:\tNeutral;\t()\n"
        "C-E3:\tNeutral; Sadness;\t()\nC-F1:\tNeutral;\t()\nA-E3:\tval 3; act 2; dom  2;\t()\n\n"
        "[1.5000 - 3.0000]\tSes01F_impro01_M000\txxx\t[2.5000, 3.0000, 3.0000]\nC-E2:\tAnger;\t()\n\n"
        "[3.0000 - 4.5000]\tSes01F_impro01_M001\texc\t[4.0000, 4.0000, 3.0000]\nC-E2:\tExcited;\t()\n"
    )
    inner = root / "Session1" / "Session1" / "dialog"
    written(inner / "EmoEvaluation" / "Ses01F_impro01.txt", head + turns)
    written(inner / "EmoEvaluation" / "._Ses01F_impro01.txt", "junk")
    written(inner / "EmoEvaluation" / "Categorical" / "Ses01F_impro01_e2_cat.txt", "Ses01F_impro01_F000 :Neutral; ()")
    said = (
        "Ses01F_impro01_F000 [000.0000-001.5000]: Hello. [LAUGHTER]\n"
        "Ses01F_impro01_M000 [001.5000-003.0000]: Well.\nSes01F_impro01_MXX0 [003.0000-003.1000]: Hm.\nM:\n"
    )
    written(inner / "transcriptions" / "Ses01F_impro01.txt", said)
    media(inner, "avi/DivX/Ses01F_impro01.avi", "wav/Ses01F_impro01.wav")
    sentences = inner.parent / "sentences" / "wav" / "Ses01F_impro01"
    media(sentences, *(f"Ses01F_impro01_{turn}.wav" for turn in ("F000", "M000", "F009")), "._Ses01F_impro01_F000.wav")
    irregular = "[1.0000 - 2.0000]\tSes05M_script01_1b_F003\tang\t[1.5000, 4.0000, 4.0000]\n"
    written(root / "Session5" / "dialog" / "EmoEvaluation" / "Ses05M_script01_1b.txt", head + irregular)
    ids = [f"Ses01F_impro01_{turn}" for turn in ("F000", "M000", "M001")]
    return Tree(root, {}, [*ids, "Ses05M_script01_1b_F003"], missing=3, extra=1)


def msp_improv(root: Path) -> Tree:
    text = (
        "UTD-IMPROV-S01A-F01-S-FM01.avi; X; A:2.250000; V:2.750000; D:3.250000 ; N:3.500000; \n"
        "worker1; Angry; Angry,Frustrated; A:2.000000; V:2.000000; D:4.000000; N:3.000000;\n"
        "worker1; Sad; Sad; A:2.000000; V:2.000000; D:4.000000; N:3.000000;\n\n"
        "UTD-IMPROV-S01A-F01-P-MF03.avi; N; A:3.000000; V:NaN; D:3.000000 ; N:4.000000;\n\n"
        "UTD-IMPROV-S02H-M02-T-MF07.avi; A; A:4.000000; V:1.500000; D:4.000000 ; N:4.000000;\n"
    )
    written(root / "Evalution.txt", text)
    media(root, *(f"session1/S01A/S/MSP-IMPROV-S01A-F01-S-FM01.{kind}" for kind in ("wav", "avi")))
    media(root, "session1/S01A/P/MSP-IMPROV-S01A-F01-P-MF03.wav", "session1/S01A/R/MSP-IMPROV-S01A-F01-R-MF09.wav")
    ids = [f"MSP-IMPROV-{turn}" for turn in ("S01A-F01-S-FM01", "S01A-F01-P-MF03", "S02H-M02-T-MF07")]
    return Tree(root, {}, ids, missing=1, extra=1)


def emotiontalk(root: Path) -> Tree:
    first, second = "G00001/G00001_02/G00001_02_01/G00001_02_01_002", "G00002/G00002_01/G00002_01_05/G00002_01_05_001"

    def said(path: str, emotion: str, **more: object) -> None:
        content = {"data": {"A": {"emotion": emotion, "Confidence_degree": "9"}}, "emotion_result": emotion, **more}
        written(root / path, json.dumps(content, ensure_ascii=False))

    say = {"content": "[over/]测试[/over]一句。[interrupted]", "speaker_id": "01", "Continuous label_result": -0.4}
    said(f"Multimodal/json/{first}.json", "angry", **say)
    said(f"Audio/json/{first}.json", "neutral")
    said(f"Text/json/{first}.json", "sad", content="测试")
    said(f"Multimodal/json/{second}.json", "surprise", content="好")
    media(root, f"Multimodal/mp4/{first}.mp4", f"Audio/wav/{first}.wav", "Multimodal/mp4/G00009/G00009_01_01_001.mp4")
    return Tree(root, {}, ["G00001_02_01_002", "G00002_01_05_001"], missing=1, extra=1)


def ch_sims(root: Path) -> Tree:
    rows = [
        "video_id,clip_id,text,label,label_T,label_A,label_V,annotation,mode",
        "video_0001,0001,第一,0.4,0.2,0.4,0.6,Positive,train",
        "aqgy1_0001,00001,第二,0.0,0.0,0.0,0.0,Neutral,train",
        "aqgy1_0001,00001_1,这是一个测试,-0.4,-0.2,-0.6,-0.4,Negative,valid",
        "video_0002,0001,没有,0.2,0.2,0.2,0.2,Weakly Positive,test",
    ]
    written(root / "meta.csv", "\n".join(rows))
    media(root, *(f"Raw/{name}.mp4" for name in ("video_0001/0001", "aqgy1_0001/00001", "aqgy1_0001/00001_1")))
    ids = ["video_0001_0001", "aqgy1_0001_00001", "aqgy1_0001_00001_1", "video_0002_0001"]
    return Tree(root, {}, ids, missing=1)


def ferv39k(root: Path) -> Tree:
    top = "FERV39k/2_ClipsforFaceCrop"
    media(root, *(f"{top}/Action/Sad/0010/{number}.jpg" for number in (1, 2, 10)), f"{top}/School/Happy/0002/1.jpg")
    media(root, f"{top}/War/Angry/0003/1.jpg")
    written(root / "FERV39k/4_setups/All_scenes/train_All.csv", "Action/Sad/0010 Sad\nSchool/Happy/0002 Happy\n")
    written(root / "FERV39k/4_setups/All_scenes/test_All.csv", "Action/Fear/0099 Fear\n")
    return Tree(root, {"rate": "25"}, ["Action_Sad_0010", "School_Happy_0002", "Action_Fear_0099"], missing=1, extra=1)


def veatic(root: Path) -> Tree:
    media(root, "videos/0.mp4", "videos/98.mp4", "videos/99.mp4")
    written(root / "rating_averaged/0_valence.csv", "".join(f"{i / 10:.2f},0.12\n" for i in range(10)))
    written(root / "rating_averaged/0_arousal.csv", "".join(f"{i / 10:.2f},-0.5\n" for i in range(9)))
    return Tree(root, {}, ["0", "98", "99"])


def emobox(root: Path) -> Tree:
    rows = [
        {"key": "savee-DC_a01", "wav": "down/DC/a01.wav", "emo": "anger", "channel": 1, "spk": "data/down/DC"},
        {"key": "savee-JE_n23.wav", "wav": "down/JE/n23.wav", "emo": "boredem", "channel": 3, "spk": "JE"},
        {"key": "savee-KL_h01", "audio": "down/KL/h01.wav", "label": "Wohlgefallen"},
    ]
    rows = [{"dataset": "savee", **row} for row in rows]
    lines = [json.dumps(row) for row in rows]
    written(root / "savee/savee.jsonl", "\n".join(lines))
    written(root / "savee/label_map.json", json.dumps({"anger": "Angry", "wohlgefallen": "Happy"}))
    for fold, test in ((1, 0), (2, 1)):
        written(root / f"savee/fold_{fold}/savee_test_fold_{fold}.jsonl", lines[test])
        written(root / f"savee/fold_{fold}/savee_train_fold_{fold}.jsonl", "\n".join(lines[:test] + lines[test + 1 :]))
    media(root, "media/down/DC/a01.wav", "media/down/JE/n23.wav")
    return Tree(root, {"media": "media"}, ["savee-DC_a01", "savee-JE_n23", "savee-KL_h01"], missing=1)


def merr(root: Path) -> Tree:
    media(root, "train/sample_99999901.avi", "test2/sample_99999902.mp4", "test3/samplenew_99999903.mp4")
    media(root, "unlabelled/sample_99999904.mp4", "unlabelled/sample_99999905.mp4")
    written(root / "train-label.csv", "name,discrete,valence\nsample_99999901,worried,-1.5\n")
    written(root / "test2-label.csv", "name,discrete,valence\nsample_99999902,happy,2\nsample_99999909,sad,-2\n")
    written(root / "test3-label.csv", "name,discrete\nsamplenew_99999903,neutral\n")
    written(root / "MERR" / "MERR_coarse_grained.txt", "sample_99999901 0 angry\nsample_99999904 0 doubt\n")
    written(root / "transcription_en_all.csv", "name,sentence\nsample_99999901,Where is he?\nsample_99999904,Is it?\n")
    ids = ["sample_99999902", "sample_99999909", "samplenew_99999903", "sample_99999901", "sample_99999904"]
    return Tree(root, {}, ids, missing=1, extra=1)


def text(root: Path) -> Tree:
    written(
        root / "data" / "train.tsv", 'He said "no, [NAME] did it.\t3,10\tabc0001\nFine.\t27\tabc0002\r\nbroken line\n'
    )
    written(root / "data" / "dev.tsv", "So scary\t14\tabc0003\n")
    written(root / "data" / "emotions.txt", "admiration\n")
    return Tree(root, {}, ["abc0003", "abc0001", "abc0002"])
