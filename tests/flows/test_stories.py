"""The stories that the README tells, word by word, from an empty folder: every command ends without an error.

Weights are random and tiny where the README names trained ones, exports are told so, and Dask is left to its own tests.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from configs import schema
from storage import open_store
from storage.ingest import ingest
from tests.conformance.test_corpora import indomer_tree
from tests.media import write_clip
from tests.storage.corpora import trees
from tests.storage.corpora.trees import media, written

TINY = 64  # columns of the tiny networks
README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def commands(title: str) -> list[list[str]]:
    """The commands of a chapter of the README, without comments."""
    chapter = README.split(f"\n## {title}\n")[1].split("\n## ")[0]
    lines = [
        line.partition(" #")[0].strip()
        for block in re.findall(r"```\n(.*?)```", chapter, re.DOTALL)
        for line in block.splitlines()
    ]
    return [shlex.split(line)[1:] for line in lines if line.startswith("merflow ")]


@pytest.fixture
def tell(merflow, monkeypatch, tmp_path):
    """Run the commands of a chapter in an empty folder, with the shipped configurations on random weights."""
    shipped = {}
    for name, path in schema.named_configs().items():
        text = re.sub(r"weights: \{hub: [^}]+\}", "weights: {random: {size: tiny}}", path.read_text(encoding="utf-8"))
        shipped[name] = tmp_path / "configs" / path.name
        shipped[name].parent.mkdir(exist_ok=True)
        shipped[name].write_text(text + "\nfaces: {detector: center}\n", encoding="utf-8")
    monkeypatch.setattr(schema, "named_configs", lambda: shipped)
    monkeypatch.chdir(tmp_path)

    def call(lines: list[list[str]]) -> list[str]:
        said = []
        for line in lines:
            if line[0] == "weights":
                continue
            more = ["--opt", "allow_synthetic=true"] if line[0] == "export" else []
            said.append(merflow(*("local" if word == "dask" else word for word in line), *more).stdout)
        return said

    return call


def filmed(folder: Path, *names: str) -> None:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_clip(folder / name, seconds=0.8 + number / 10, video=not name.endswith(".wav"))


@pytest.mark.slow
def test_indomer(tell, tmp_path):
    (tmp_path / "INDOMER").mkdir()
    tree = indomer_tree(tmp_path / "INDOMER")
    table = tmp_path / "INDOMER" / "Annotations.csv"
    table.write_bytes(b"".join(line for line in table.read_bytes().splitlines(True) if not line.startswith(b"clip_3")))
    tree.ids.remove("clip_3_Test_1")  # which no split file names: the real ones name every clip
    (tmp_path / "INDOMER" / tree.options["media"]).rename(tmp_path / "INDOMER" / "media")
    filmed(
        tmp_path / "INDOMER" / "media", *(f"{clip_id}.{suffix}" for clip_id in tree.ids for suffix in ("mp4", "wav"))
    )
    said = tell(commands("IndoMER"))
    assert f"Found {len(tree.ids)} clips in indomer" in said[0]
    assert {c.split for c in open_store(tmp_path / "indomer_store").clips()} >= {"train", "val"}
    assert list((tmp_path / "indomer_features").rglob("*.pkl"))


@pytest.mark.slow
def test_merr(tell, monkeypatch, tmp_path):
    """MER2023 as it is unpacked, with MERR's list and transcripts; one clip has no human label."""
    for module in ("options", "validate"):
        monkeypatch.setattr(f"storage.exporters.merr.{module}.WIDTH", TINY)
    corpus = tmp_path / "MER2023"
    filmed(corpus, "train/sample_00000000.avi", "test1/sample_00000001.avi", "unlabelled/sample_00000002.avi")
    written(corpus / "train-label.csv", "name,discrete,valence\nsample_00000000,worried,-1.5\n")
    written(corpus / "test1-label.csv", "name,discrete,valence\nsample_00000001,happy,2\n")
    written(corpus / "MERR" / "MERR_coarse_grained.txt", "sample_00000001 0 happy\nsample_00000002 0 doubt\n")
    said = "".join(f"sample_0000000{number},\u4f60\u597d\n" for number in range(3))
    written(corpus / "transcription_en_all.csv", f"name,sentence\n{said}")
    tell(commands("MERR / Emotion-LLaMA"))
    clips = open_store(tmp_path / "merr_store").clips()
    assert [(c.split, c.label_raw) for c in clips] == [("test1", "happy"), ("train", "worried"), (None, "doubt")]
    assert list((tmp_path / "merr_features").rglob("sample_00000002.npy"))


def test_your_corpus_shows_by_itself_what_it_is(tell, tmp_path):
    """The commands of the chapter, on small trees."""
    trees.meld(tmp_path / "MELD.Raw")
    media(
        tmp_path / "wav",
        *(f"{speaker}a0{text}{emotion}a.wav" for speaker in ("03", "08", "09") for text in (1, 2) for emotion in "WN"),
    )
    for clip in (tmp_path / "MELD.Raw").rglob("*.mp4"):
        write_clip(clip)
    ingest("emodb", tmp_path / "wav", tmp_path / "iemocap.parquet", {}, lambda _: 1.0)  # three speakers, two labels
    lines = commands("Your corpus")
    folds = lines[3].index("--folds") + 1
    lines[3][folds] = "2"
    listed, shown, ingested, divided = tell(lines)
    assert re.search(r"^iemocap ", listed, re.MULTILINE)
    assert "Quirks: about 132 clips of test are there twice" in shown
    assert "read as --corpus meld, which the folder looks like" in ingested
    assert "Found 5 clips in meld" in ingested
    assert "written to iemocap.parquet" in divided


def test_your_own_csv_with_train_and_val_in_two_folders(tell, merflow, tmp_path):
    for split, count in (("train", 3), ("val", 2)):
        filmed(tmp_path / split, *(f"{split}_{i}.mp4" for i in range(count)))
        rows = "".join(f"{split}_{i}.mp4;Hallo;{split};1,5\n" for i in range(count))
        (tmp_path / split / f"{split}.csv").write_text(
            "File Name;Transcription;Split;Valence\n" + rows, encoding="cp1252"
        )
        said = merflow("ingest", f"{split}/{split}.csv", "--out", f"{split}.parquet").stdout
        assert "file=File Name, text=Transcription, split=Split, valence=Valence" in said
        merflow(
            "run",
            "--config",
            "c.yaml" if (tmp_path / "c.yaml").exists() else _config(tmp_path),
            "--manifest",
            f"{split}.parquet",
            "--store",
            "s",
        )
    status = merflow("status", "s").stdout
    assert "complete" in status
    assert [c.split for c in open_store("s").clips()] == ["train"] * 3 + ["val"] * 2
    merflow("export", "hdf5", "s", "aligned.h5")


def _config(folder: Path) -> Path:
    (folder / "c.yaml").write_text("extractors:\n  - {name: gemaps}\n", encoding="utf-8")
    return folder / "c.yaml"
