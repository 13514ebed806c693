"""The examples of docs/architecture.md are complete: each, in a folder of one's own, is found, runs, and passes the
suite of its kind, without an edit anywhere else."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.media import tone, write_clip

ROOT = Path(__file__).parents[2]
KINDS = {
    "extractors": "zero_crossings",
    "detectors": "whole_frame",
    "corpora": "named_by_emotion",
    "exporters": "means_csv",
}


@pytest.fixture(scope="module")
def examples(tmp_path_factory) -> Path:
    """The examples, written to files as their first lines say."""
    folder = tmp_path_factory.mktemp("plugins")
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for name, code in re.findall(r"```python\n# (\S+\.py)\n(.*?)```", page, re.DOTALL):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(code, encoding="utf-8")
    assert {p.parent.name: p.stem for p in folder.rglob("*.py")} == KINDS
    return folder


@pytest.fixture
def call(examples):
    def run(*command: object, **changes: str) -> str:
        environment = os.environ | {"MERFLOW_PLUGINS": str(examples), "COLUMNS": "160"} | changes
        done = subprocess.run(
            [sys.executable, *map(str, command)], capture_output=True, text=True, cwd=ROOT, env=environment, check=False
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    return run


# Several command lines in one process: what is asked is what they print, and a process costs a second.
COMMANDS = """
import contextlib, sys
from flows.cli import main
for line in sys.argv[1:]:
    sys.argv = ["merflow", *line.split()]
    print("$", line, flush=True)
    with contextlib.suppress(SystemExit):
        main()
"""


def test_the_command_line_lists_them_with_their_options(call):
    options = {"extractors": "hop", "detectors": "detect_every", "corpora": "suffix", "formats": "decimals"}
    names = {kind: KINDS.get(kind, KINDS["exporters"]) for kind in options}
    lines = [line for kind, name in names.items() for line in (kind, f"{kind} {name}")]
    said = call("-c", COMMANDS, *lines).split("$ ")[1:]
    assert [text.splitlines()[0] for text in said] == lines
    for listed, shown, (kind, option) in zip(said[::2], said[1::2], options.items(), strict=True):
        assert re.search(rf"^{names[kind]} ", listed, re.MULTILINE)
        assert re.search(rf"│ {option} ", shown)


def test_the_reference_page_holds_them(call, tmp_path):
    call("-m", "flows.reference", tmp_path / "reference.md")
    page = (tmp_path / "reference.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in page for name in KINDS.values())


def test_the_reference_page_in_the_docs_is_what_the_code_says():
    from flows.reference import reference_page

    assert (ROOT / "docs" / "reference.md").read_text(encoding="utf-8") == reference_page(), "run `make docs`"


@pytest.mark.slow
def test_the_conformance_suite_of_their_kind_runs_over_them(call, tmp_path):
    kinds = ("extractors", "corpora", "exporters")
    suites = [f"tests/conformance/test_{kind}.py" for kind in kinds]
    chosen = " or ".join([*(KINDS[kind] for kind in kinds), "import_no_network"])  # one test of all extractors
    out = call(
        "-m",
        "pytest",
        "-v",
        *suites,
        "-k",
        chosen,
        "-p",
        "no:cacheprovider",
        "-p",
        "no:randomly",
        f"--basetemp={tmp_path / 'own'}",
    )
    for suite, kind in zip(suites, kinds, strict=True):
        passed = re.findall(rf"^{suite}::\S*(?:{KINDS[kind]}|import_no_network)\S* PASSED", out, re.MULTILINE)
        assert len(passed) >= 4, out
    assert "FAILED" not in out


def test_a_corpus_goes_through_all_of_them(call, tmp_path, server, home):
    """From their corpus through their extractor and detector to their format, by the real commands."""
    (tmp_path / "corpus").mkdir()
    for i, name in enumerate(("anna_01_happy", "ben_01_sad")):
        write_clip(tmp_path / "corpus" / f"{name}.wav", video=False, audio=tone(0.5, hertz=200.0 + 100 * i))
    config = tmp_path / "c.yaml"
    config.write_text(
        "extractors:\n  - {name: zero_crossings}\n  - {name: quality}\nfaces: {detector: whole_frame}\n"
        "cluster: {engine: local}\nno_video: skip\n",
        encoding="utf-8",
    )
    where = {"PREFECT_API_URL": server, "MERFLOW_HOME": str(home)}
    manifest, store, out = tmp_path / "m.parquet", tmp_path / "store", tmp_path / "out"
    lines = [
        f"ingest {tmp_path / 'corpus'} --corpus named_by_emotion --out {manifest}",
        f"run -c {config} -m {manifest} -s {store}",
        f"status {store} --json",
        f"export means_csv {store} {out} --opt decimals=0 --opt features=zero_crossings",
    ]
    ingested, _, status, _ = call("-c", COMMANDS, *lines, **where).split("$ ")[1:]
    assert "Found 2 clips in corpus; wrote" in ingested
    counts = json.loads(status.partition("\n")[2])
    assert (counts["stored"], counts["skipped"], counts["failed"]) == (2, 4, 0)
    with (out / "means.csv").open(encoding="utf-8") as file:
        rows = {row["clip_id"]: float(row["zero_crossings.crossings"]) for row in csv.DictReader(file)}
    assert rows == {"anna_01_happy": pytest.approx(400, abs=12), "ben_01_sad": pytest.approx(600, abs=12)}
