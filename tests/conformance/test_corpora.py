"""What holds for every corpus reader; each brings a small tree in its true layout, made here.

A new reader adds its tree to `TREES`; until then the suite says so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from configs.errors import RunError
from configs.plugins import parse
from storage.corpora import CORPORA, Corpus, CorpusListing, read_corpus
from storage.ingest import ingest
from storage.manifest import Manifest
from storage.vocabulary.indomer_files import ANNOTATION_COLUMNS, dump_annotations, dump_split_json
from storage.vocabulary.labels import LABELS
from tests.storage.corpora import trees
from tests.storage.corpora.trees import Tree, media

NAMES = CORPORA.names()


def folder_tree(root: Path) -> Tree:
    media(root, "a.mp4", "a.wav", "deep/er/b.mp4", "c.wav", ".hidden/x.mp4", "__MACOSX/a.mp4")
    return Tree(root, {}, ["a", "c", "deep.er.b"], recognised=False)


def table_tree(root: Path) -> Tree:
    media(root / "media", "one.mp4", "two.mp4", "left over.mp4")
    rows = [
        "id,video,emotion,text,split",
        "001,one.mp4,happy,ya,train",
        "002,two.mp4,xyz,,val",
        "003,three.mp4,sad,,val",
    ]
    (root / "t.csv").write_text("\r\n".join(rows), encoding="utf-8-sig", newline="")
    return Tree(root / "t.csv", {"media": "media"}, ["001", "002", "003"], missing=1, extra=1, recognised=False)


def indomer_tree(root: Path) -> Tree:
    """Both class sets, the train split under the README's spelling, one damaged text, one clip in no split."""
    texts = {"clip_1_Test_1": "Ini hanya, uji coba.", "clip_1_Test_2": "benar\uff1f", "clip_2_Opinions_1": "Ya."}
    emotions = {"clip_1_Test_1": "netral", "clip_1_Test_2": "kebahagiaan", "clip_2_Opinions_1": "jijik"}
    sentiments = {"clip_1_Test_1": "netral", "clip_1_Test_2": "positif", "clip_2_Opinions_1": "negatif"}
    table = []
    for clip_id, text in [*texts.items(), ("clip_3_Test_1", "sendiri\uff0c saja")]:
        damaged = text.encode("gbk").decode("latin-1") if not text.isascii() else text
        words = (emotions.get(clip_id, "surprise"), sentiments.get(clip_id, "positif"), "netral", "positif", "netral")
        table.append(dict(zip(ANNOTATION_COLUMNS, (f"{clip_id}.mp4", f"{clip_id}.wav", *words, damaged), strict=True)))
    (root / "Annotations.csv").write_bytes(dump_annotations(table))

    def write(name: str, classes: str, ids: Iterable[str]) -> None:
        items = []
        for i in ids:
            names = {"video": f"{i}.mp4", "audio": f"{i}.wav"}
            seven = {"sample_id": i, "text": texts[i], "sentiment_label": sentiments[i], "label": emotions[i], **names}
            modal = {"audio_label": "positif", "text_label": "netral", "video_label": "netral"}
            three = {"sample_id": i, "text": texts[i], **modal, "label": sentiments[i], **names}
            items.append(seven if classes == "7" else three)
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(dump_split_json(items))

    write("7_Class/7_class_train.json", "7", ["clip_1_Test_2", "clip_1_Test_1"])
    write("7_Class/7_class_val.json", "7", ["clip_2_Opinions_1"])
    write("3_class/train.json", "3", ["clip_1_Test_1", "clip_1_Test_2"])
    write("3_Class/3_class_val.json", "3", ["clip_2_Opinions_1"])
    media(root / "all" / "videos", *(f"{i}.mp4" for i in [*texts, "clip_9_Test_1"]))
    media(root / "all" / "audios", *(f"{i}.wav" for i in texts))
    ids = ["clip_1_Test_2", "clip_1_Test_1", "clip_2_Opinions_1", "clip_3_Test_1"]
    return Tree(root, {"media": "all"}, ids, missing=2, extra=1)


TREES: dict[str, Callable[[Path], Tree]] = {
    "folder": folder_tree,
    "indomer": indomer_tree,
    "table": table_tree,
    **{name: getattr(trees, name) for name in dir(trees) if name in NAMES},
}


def made(name: str, root: Path) -> Tree:
    own = getattr(CORPORA.load(name), "example_tree", None)  # a reader outside merflow's tree brings its own
    assert name in TREES or own is not None, f"corpus {name}: add a tree in its layout to TREES"
    return TREES[name](root) if name in TREES else own(Tree, root)


@pytest.fixture(params=NAMES)
def tree(request, tmp_path) -> Tree:
    return made(request.param, tmp_path / "corpus" if (tmp_path / "corpus").mkdir() is None else tmp_path)


@pytest.fixture
def listing(request, tree) -> CorpusListing:
    return read_corpus(request.node.callspec.params["tree"], tree.source, tree.options)


@pytest.mark.parametrize("name", NAMES)
def test_a_reader_says_what_it_is_and_what_it_can_be_told(name):
    reader = CORPORA.load(name)
    assert issubclass(reader, Corpus)
    assert CORPORA.summary(name)
    assert all(option.type and option.meaning for option in CORPORA.options(name))
    assert all(isinstance(count, int) and count > 0 for count in reader.expected_clips.values())
    assert set(reader.labels.values()) <= set(LABELS)
    assert all(word == word.strip().lower() for word in reader.labels)


def test_every_clip_is_there_in_order_with_a_unique_safe_id(tree, listing):
    clips = list(listing.clips)
    assert [clip.id for clip in clips] == tree.ids
    assert all(clip.source_id for clip in clips)


def test_what_does_not_fit_together_is_reported_once_however_often_clips_are_read(tree, listing):
    first = list(listing.clips)
    report = json.loads(json.dumps(listing.report.to_dict()))
    assert (len(report["missing"]), len(report["extra"])) == (tree.missing, tree.extra)
    assert list(listing.clips) == first
    assert listing.report.to_dict() == report


def test_no_row_is_dropped_silently(request, tree, listing):
    """Rows in are clips out, but for those that the report names."""
    clips = list(listing.clips)
    reader = CORPORA.load(request.node.callspec.params["tree"])
    rows = list(reader(tree.source, parse(reader.Options, dict(tree.options), "corpus", "option")).rows())
    assert len(rows) == len(clips)
    assert len({row.where for row in rows}) == len(rows)
    assert all(row.name is None or row.name.strip() for row in rows)


def test_clips_stream(listing, monkeypatch):
    """The first clip is there before the last row was built."""
    clips = iter(listing.clips)
    assert isinstance(clips, Iterator)
    assert next(clips).id
    assert not listing.report.extra  # known at the end only


def test_media_that_are_there_are_found_and_paths_are_relative_to_the_root(tree, listing):
    paths = [path for clip in listing.clips for path in {clip.video, clip.audio} - {None}]
    found = [path for path in paths if (listing.root / path).exists()]
    assert len(paths) - len(found) == tree.missing
    assert not [path for path in paths if Path(path).is_absolute()]


def test_no_label_is_guessed(request, listing):
    own = CORPORA.load(request.node.callspec.params["tree"]).labels
    neutral = {"netral", "neutral", "neu", "no emotion", *(word for word, label in own.items() if label == "neutral")}
    for clip in listing.clips:
        assert clip.label is None or clip.label_raw is not None
        assert clip.label in {None, *LABELS}
        assert clip.label != "neutral" or clip.label_raw.lower() in neutral


def test_the_manifest_holds_the_clips(request, tree, tmp_path):
    name = request.node.callspec.params["tree"]
    report = ingest(name, tree.source, tmp_path / "m.parquet", tree.options, lambda _: 1.0)
    manifest = Manifest.open(tmp_path / "m.parquet")
    assert [clip.id for clip in manifest] == tree.ids
    assert report.clips == len(tree.ids)
    assert all(clip.files.keys() <= {"video", "audio"} for clip in manifest)
    assert any(clip.files for clip in manifest) or "audio" in next(iter(manifest)).lacks


def test_unknown_options_name_the_closest_valid_one(request, tree):
    name = request.node.callspec.params["tree"]
    with pytest.raises(RunError, match=rf"corpus {name}: unknown option 'corpsu'; valid .*Did you mean 'corpus'\?"):
        read_corpus(name, tree.source, {"corpsu": "x"})


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_there_is_one_line(name, tmp_path):
    with pytest.raises(RunError) as error:
        list(read_corpus(name, tmp_path / "nowhere", {}).clips)
    assert "\n" not in str(error.value)
    assert "nowhere" in str(error.value)
