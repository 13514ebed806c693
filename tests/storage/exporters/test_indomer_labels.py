"""IndoMER's label files made of a manifest: the repository's bytes, or a line that says why not."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from storage.corpora import read_corpus
from storage.exporters import export
from tests.exports import ACTION_UNITS, CLIPS, GEMAPS, make_store

SPECS = (GEMAPS, ACTION_UNITS)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labels")
    export("indomer", make_store(folder / "store", specs=SPECS), folder / "out", {})
    return folder / "out"


def _published(values: dict[str, str]) -> str:
    lines = ",\r\n".join(f'    "{name}": {json.dumps(text, ensure_ascii=False)}' for name, text in values.items())
    return f"  {{\r\n{lines}\r\n  }}"


def test_label_files_have_the_repository_s_bytes(out):
    seven = _published(
        {
            "sample_id": "clip_1_Test_1",
            "text": 'Wah, "ok"',
            "sentiment_label": "positif",
            "label": "kebahagiaan",
            "video": "clip_1_Test_1.mp4",
            "audio": "clip_1_Test_1.wav",
        },
    )
    assert (out / "7_Class/7_class_val.json").read_bytes() == f"[\r\n{seven}\r\n]".encode()
    three = _published(
        {
            "sample_id": "clip_1_Test_1",
            "text": 'Wah, "ok"',
            "audio_label": "netral",
            "text_label": "negatif",
            "video_label": "negatif",
            "label": "positif",
            "video": "clip_1_Test_1.mp4",
            "audio": "clip_1_Test_1.wav",
        },
    )
    assert (out / "3_Class/3_class_val.json").read_bytes() == f"[\r\n{three}\r\n]".encode()
    lines = (out / "Annotations.csv").read_bytes().decode().split("\r\n")
    assert [line.split(",")[0] for line in lines[1:-1]] == [
        *("clip_1_Test_1.mp4", "clip_1_Test_2.mp4", "clip_2_Cooking_1.mp4", "clip_3_News_1.mp4")
    ]
    labels = "kebahagiaan,positif,negatif,netral,negatif"
    assert lines[1] == f'clip_1_Test_1.mp4,clip_1_Test_1.wav,{labels},"Wah, ""ok"""'
    assert lines[-1] == ""
    expected = ["netral", "kebahagiaan", "kesedihan", "kemarahan", "jijik", "ketakutan", "surprise"]
    assert json.loads((out / "7_Class/classes.json").read_text()) == {"label_id": expected}


def test_a_split_json_comes_back_from_a_store_made_of_it(out, tmp_path):
    """Manifest from the exported JSON, store from the manifest, export from the store: the same bytes."""
    for name in ("7_Class/7_class_train.json", "3_Class/3_class_train.json"):
        clips = list(read_corpus("table", out / name, {"split": "=train"}).clips)
        store = make_store(tmp_path / name.replace("/", "-"), clips, SPECS)
        lines = export("indomer", store, tmp_path / f"{store.path.name}-out", {})
        assert (tmp_path / f"{store.path.name}-out" / name).read_bytes() == (out / name).read_bytes()
        other = "3_Class/3_class_train.json" if name[0] == "7" else "7_Class/7_class_train.json"
        lacks = "audio_label" if name[0] == "7" else "label"
        assert not (tmp_path / f"{store.path.name}-out" / other).exists()
        assert f"{other}: not written, clips lack what it needs: clip_2_Cooking_1 ({lacks})" in " ".join(lines)


@pytest.mark.parametrize(
    ("changed", "file", "why"),
    [
        ({"text": None}, "7_Class/7_class_val.json", "clip_1_Test_1 (text)"),
        ({"label_raw": "marah"}, "7_Class/7_class_val.json", "clip_1_Test_1 (label marah)"),
        ({"label_raw": None}, "Annotations.csv", "clip_1_Test_1 (emotion)"),
        ({"id": "x"}, "Annotations.csv", "x (name is not clip_<video>_<topic>_<number>)"),
    ],
)
def test_a_label_file_that_cannot_be_whole_is_not_written(tmp_path, changed, file, why):
    store = make_store(tmp_path / "store", [*CLIPS[:2], replace(CLIPS[2], **changed)], SPECS)
    lines = export("indomer", store, tmp_path / "out", {})
    assert f"{file}: not written, clips lack what it needs: {why}" in lines
    assert not (tmp_path / "out" / file).exists()
    assert (tmp_path / "out/7_Class/7_class_train.json").exists()
