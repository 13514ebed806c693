"""Container files against the repository: what they copy is there, and they install as the Makefile does.

They are not built here: no image registry is reachable.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "docs" / "deploy"
PACKAGES = {"configs", "storage", "extractors", "flows", "merflow.py"}


def copied_by_docker(text: str) -> list[str]:
    return [name for line in re.findall(r"^COPY (.*) \S+$", text, re.MULTILINE) for name in line.split()]


def copied_by_apptainer(text: str) -> list[str]:
    part = text.split("%files\n")[1].split("\n%", maxsplit=1)[0]
    return [line.split()[0] for line in part.splitlines() if line.strip()]


@pytest.mark.parametrize(("name", "copied"), [("Dockerfile", copied_by_docker), ("merflow.def", copied_by_apptainer)])
def test_a_container_holds_what_the_package_is_made_of(name, copied):
    text = (DEPLOY / name).read_text(encoding="utf-8")
    names = copied(text)
    assert {"pyproject.toml", "requirements.lock", "README.md", *PACKAGES} == set(names)
    assert all((ROOT / name).exists() for name in names)
    for part in ("--require-hashes --no-deps -r requirements.lock", "--no-deps --no-build-isolation ."):
        assert part in text
        assert part.replace(" .", " -e .") in (ROOT / "Makefile").read_text(encoding="utf-8")
    python = re.search(r"python:(3\.\d+)", text)
    assert python is not None
    assert f"({python[1].replace('.', ', ')})" in (ROOT / "Makefile").read_text(encoding="utf-8")
