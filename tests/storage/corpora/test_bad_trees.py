"""Damaged corpora: every text file of every tree is replaced by nonsense of each kind; one clear line or a reading."""

from __future__ import annotations

import pytest

from configs.errors import RunError
from storage.clip import Clip
from storage.corpora import CORPORA, read_corpus
from tests.conformance.test_corpora import TREES
from tests.storage.corpora.trees import Tree

NONSENSE = {
    "empty": lambda _: b"",
    "binary": lambda data: bytes(range(256)) * 4 + data[:7],
    "half": lambda data: data[: len(data) // 2],
    "first line only": lambda data: data.splitlines(keepends=True)[0] if data else b"",
    "a JSON list": lambda _: b"[1, 2, 3]",
    "a JSON object": lambda _: b'{"a": {"b": [1]}}',
    "a JSON text": lambda _: b'"text"',
    "a line of text": lambda _: b"nothing to see here\n",
    "other columns": lambda _: b"x,y,z\n1,2,3\n4,5,6\n",
    "a row too short": lambda data: data + b"\n1,2",
    "semicolons": lambda data: data.replace(b",", b";"),
    "UTF-16": lambda data: data.decode("utf-8", "replace").encode("utf-16"),
    "cp1252": lambda data: data.decode("utf-8", "replace").encode("cp1252", "replace"),
    "null bytes": lambda data: data.replace(b"\n", b"\x00\n"),
    "a pointer": lambda _: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    "numbers that are none": lambda data: data.replace(b"0", b"O"),
}
TEXTS = (".csv", ".tsv", ".txt", ".json", ".jsonl")


def outcome(name: str, tree: Tree) -> tuple[list[Clip], str]:
    """The clips, or why there are none."""
    try:
        return list(read_corpus(name, tree.source, tree.options).clips), ""
    except RunError as error:
        return [], str(error)


@pytest.mark.parametrize("name", sorted(TREES))
def test_a_damaged_corpus_is_one_clear_line_or_a_reading(name, tmp_path):
    tree = TREES[name](tmp_path)
    texts = [path for path in sorted(tmp_path.rglob("*")) if path.suffix in TEXTS and path.is_file()]
    outcomes = []
    for path in texts:
        data = path.read_bytes()
        for kind, damaged in NONSENSE.items():
            path.write_bytes(damaged(data))
            clips, refusal = outcome(name, tree)
            assert len({clip.id for clip in clips}) == len(clips)
            if refusal:
                assert "\n" not in refusal, (kind, path.name)
                assert str(tmp_path) in refusal, (kind, path.name, refusal)
                outcomes.append(kind)
        path.write_bytes(data)
    assert bool(outcomes) == bool(texts)


@pytest.mark.parametrize("name", sorted(TREES))
def test_a_file_where_the_corpus_should_be(name, tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("x,y\n1,2\n")
    with pytest.raises(RunError) as error:
        list(CORPORA.load(name)(file, CORPORA.load(name).Options()).read().clips)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", sorted(TREES))
def test_files_that_cannot_be_opened_are_one_clear_line_or_not_there(name, tmp_path):
    """Links that lead nowhere are listed like files: they stand for all that the system refuses to open."""
    tree = TREES[name](tmp_path)
    for path in sorted(tmp_path.rglob("*")):
        if path.suffix in TEXTS:
            path.unlink()
            path.symlink_to(tmp_path / "nowhere")
    _, refusal = outcome(name, tree)
    assert "\n" not in refusal
    assert not refusal or str(tmp_path) in refusal
