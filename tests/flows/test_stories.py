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
from tests.conformance.test_corpora import indomer_tree
from tests.media import write_clip

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
def test_merr_from_a_folder_and_then_from_a_table(tell, merflow, monkeypatch, tmp_path):
    for module in ("options", "validate"):
        monkeypatch.setattr(f"storage.exporters.merr.{module}.WIDTH", TINY)
    filmed(tmp_path / "MERR" / "video", "samplenew_00000000.mp4", "samplenew_00000001.mp4")
    merflow("ingest", "MERR/video", "--out", "merr.parquet")
    merflow("run", "--config", "merr", "--manifest", "merr.parquet", "--store", "merr_store")
    table = "name,discrete_emotion,sentence\nsamplenew_00000000,happy,你好\nsamplenew_00000001,sad,再见\n"
    (tmp_path / "MERR" / "labels.csv").write_text(table, encoding="utf-8")
    said = tell(commands("MERR / Emotion-LLaMA"))
    assert "nothing to do" in said[1]  # labels and texts make nothing stale here
    assert [c.label for c in open_store("merr_store").clips()] == ["happy", "sad"]
    assert list((tmp_path / "merr_features").rglob("samplenew_00000000.npy"))


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
