"""Code in the documentation runs: every command, every Python block, every configuration, in the order of its page.

What cannot run in a test (a server, a hub, the network) is at least understood by the command line.
"""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import click
import numpy as np
import pytest
import typer
import yaml

from configs import schema
from flows.cli.app import app
from storage.exporters import EXPORTERS
from tests.extractors.audio_clips import RATE, voice
from tests.flows.test_stories import filmed
from tests.media import write_clip
from tests.scenes import frames_of
from tests.storage import toy

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
NOT_RUN = {"serve", "ui", "view", "weights"}
HERE = {"dask": "local"}  # Dask has tests of its own
BLOCK = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)
pytestmark = pytest.mark.without_prefect


def blocks(page: Path) -> list[tuple[str, str, str]]:
    """Language, text and the file name that the text before a block ends with, of each block of a page."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in BLOCK.finditer(text):
        named = re.findall(r"`(\w+\.yaml)`:?\s*$", text[: match.start()])
        found.append((match[1], match[2], named[-1] if named else ""))
    return found


def understood(line: list[str]) -> None:
    """Have the command line read a command, without running it."""
    group = typer.main.get_command(app)
    with click.Context(group) as context:
        command = group.get_command(context, line[0])
        assert command is not None, line
        if isinstance(command, click.Group):
            command, line = command.get_command(context, line[1]), line[1:]
        command.make_context(line[0], line[1:], parent=context)


@pytest.fixture(scope="module")
def media(tmp_path_factory, feat_clips) -> Path:
    """Two clips of a face with a voice of a second and a half, and silence around it."""
    folder = tmp_path_factory.mktemp("docs") / "clips"
    folder.mkdir()
    rest = np.zeros(RATE // 2, np.float32)
    audio = np.concatenate([rest, voice(1.4), rest])[None]
    frames = frames_of(feat_clips / "single_face.mp4", 48, 320, 180)
    for name in ("one", "two"):
        write_clip(folder / f"{name}.mp4", frames=frames, audio=audio, rate=RATE, fps=20)
    return folder


@pytest.fixture
def story(merflow, media, monkeypatch, tmp_path):
    """An empty folder with the clips and the configuration of the first page; commands run in it."""
    shutil.copytree(media, tmp_path / "clips")
    monkeypatch.chdir(tmp_path)
    for language, text, name in blocks(DOCS / "index.md"):
        if language == "yaml" and name:
            (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def tell(merflow, page: Path, more: dict[str, list[str]] | None = None) -> None:
    """Run the blocks of a page."""
    for language, text, name in blocks(page):
        if language == "yaml":
            schema.parse(schema.RunConfig, yaml.safe_load(text), str(page))
            if name:
                Path(name).write_text(text, encoding="utf-8")
        elif language == "python":
            exec(compile(text, str(page), "exec"), {})  # the page's own
        elif language == "console":
            for line in text.splitlines():
                words = [HERE.get(word, word) for word in shlex.split(line, comments=True)]
                assert words[0] == "merflow", line
                if words[1] in NOT_RUN:
                    understood(words[1:])
                else:
                    merflow(*words[1:], *(more or {}).get(words[1], []))
        else:
            assert language in {"text", "toml"}, (page, language)


def test_every_page_of_tasks_is_told_here():
    told = {"indomer", "merr", "mertools", "my_corpus", "nightly", "report", "resuming", "training", "exporting"}
    assert {page.stem for page in (DOCS / "tasks").glob("*.md")} == told


@pytest.mark.filterwarnings("ignore:unclosed file <_io.BufferedReader name='shards:ResourceWarning")  # webdataset's
@pytest.mark.parametrize("page", sorted((DOCS / "consumers").glob("*.md")), ids=lambda page: page.stem)
def test_every_page_of_consumers(merflow, page, tmp_path, monkeypatch):
    """On a small store; what needs a consumer's own package runs where that is installed."""
    monkeypatch.chdir(tmp_path)
    toy.make_store(tmp_path / "store")
    tell(merflow, page)


def test_every_format_has_a_page():
    pages = [
        page.read_text(encoding="utf-8") for folder in ("consumers", "tasks") for page in (DOCS / folder).glob("*")
    ]
    named = {name for name in EXPORTERS.names() if any(f"export {name}" in page for page in pages)}
    assert named == set(EXPORTERS.names())


def test_the_first_page(merflow, story):
    tell(merflow, DOCS / "index.md")
    assert {path.name for path in story.iterdir()} >= {
        "one.gemaps.csv", "one.voice_activity.csv", "store", "store_report", "one.png", "aligned.h5",
    }  # fmt: skip


def test_your_own_corpus(merflow, story):
    rows = "id,video,text,emotion,speaker,split\n" + "".join(
        f"{name}_{i},{name}.mp4,Hello,{('happy', 'sad')[i]},{name},train\n" for name in ("one", "two") for i in (0, 1)
    )
    (story / "labels.csv").write_text(rows, encoding="utf-8")
    tell(merflow, DOCS / "tasks" / "my_corpus.md")
    assert (story / "my_store_report" / "index.html").is_file()


@pytest.fixture(scope="module")
def kept() -> dict[str, Path]:
    return {}


@pytest.mark.parametrize("name", ["report", "training", "exporting", "resuming", "nightly"])
def test_pages_that_begin_with_a_store(merflow, story, kept, tmp_path_factory, name):
    if not kept:  # made once
        merflow("run", "--config", "quick.yaml", "--corpus", "folder", "clips", "--store", "store")
        kept["store"] = Path(shutil.copytree("store", tmp_path_factory.mktemp("kept") / "store"))
    elif name != "resuming":
        shutil.copytree(kept["store"], story / "store")
        merflow("relocate", "store", f"clips={story / 'clips'}")
    tell(merflow, DOCS / "tasks" / f"{name}.md")


def test_the_way_to_mertools_begins_with_a_configuration(merflow, story):
    first = blocks(DOCS / "tasks" / "mertools.md")[0][1]
    merflow(*shlex.split(first)[1:])
    assert schema.load_config("mertools.yaml").extractors


@pytest.mark.slow
def test_the_way_to_merr_and_mertools(merflow, story, monkeypatch):
    """With random weights where the pages name trained ones."""
    for module in ("options", "validate"):
        monkeypatch.setattr(f"storage.exporters.merr.{module}.WIDTH", 64)
    filmed(story / "MER2023", "train/sample_00000000.avi", "test1/sample_00000001.avi")
    (story / "MER2023" / "train-label.csv").write_text("name,discrete,valence\nsample_00000000,worried,-1.5\n")
    (story / "MER2023" / "test1-label.csv").write_text("name,discrete,valence\nsample_00000001,happy,2\n")
    (story / "MER2023" / "MERR_coarse_grained.txt").write_text("sample_00000000 0 doubt\nsample_00000001 0 happy\n")
    (story / "MER2023" / "transcription_en_all.csv").write_text(
        "name,sentence\nsample_00000000,Hi\nsample_00000001,Ho\n"
    )
    load = schema.load_config

    def random(source):
        made = load(source).model_dump(mode="json")
        for entry in made["extractors"]:
            entry.update({"weights": {"random": {"size": "tiny"}}} if "weights" in entry else {})
        return schema.parse(schema.RunConfig, made | {"faces": {"detector": "center"}}, "random")

    monkeypatch.setattr(schema, "load_config", random)
    tell(merflow, DOCS / "tasks" / "merr.md", {"export": ["--opt", "allow_synthetic=true"]})
    tell(merflow, DOCS / "tasks" / "mertools.md", {"export": ["--opt", "allow_synthetic=true"]})


@pytest.mark.parametrize("page", ["scale.md", "tasks/nightly.md", "tasks/indomer.md", "tasks/merr.md"])
def test_commands_of_other_pages_are_understood(page):
    for language, text, _ in blocks(DOCS / page):
        for line in text.splitlines() if language in {"console", "bash"} else ():
            understood(shlex.split(line, comments=True)[1:])


def test_the_readme(merflow, story):
    """Its commands are understood (its chapters are stories of their own), its first ones and its Python run."""
    plain = [text for language, text, _ in blocks(ROOT / "README.md") if not language]
    lines = [line for text in plain for line in text.splitlines() if line.startswith("merflow ")]
    assert len(lines) > 12
    for line in lines:
        understood(shlex.split(line, comments=True)[1:])
    shutil.copy("clips/one.mp4", "clip.mp4")
    (story / "INDOMER").mkdir()
    shutil.copy("clips/one.mp4", "INDOMER/clip_1_Cooking_1.mp4")
    first = next(i for i, line in enumerate(lines) if line.startswith("merflow extract"))
    for line in lines[first : first + 4]:
        merflow(*shlex.split(line, comments=True)[1:])
    assert {path.name for path in story.iterdir()} >= {"clip.gemaps.csv", "clip.faces.csv", "store", "store_report"}
    merflow("run", "--config", "quick.yaml", "--corpus", "folder", "INDOMER", "--store", "indomer_store")
    for language, code, _ in blocks(ROOT / "README.md"):
        if language == "python":
            exec(compile(code, "README.md", "exec"), {})


def test_commands_named_in_the_text_exist():
    group = typer.main.get_command(app)
    with click.Context(group) as context:
        known = set(group.list_commands(context))
    for page in [ROOT / "README.md", *DOCS.rglob("*.md")]:
        for word in re.findall(r"`merflow ([a-z][a-z-]+)", page.read_text(encoding="utf-8")):
            assert word in known, (page, word)
