"""What `merflow weights pull` fetched: revision, commit and SHA-256 of every file, so that a run sees a changed one.

A record is one small JSON file, `$MERFLOW_HOME/weights/<owner>--<name>/<commit>.json` (`~/.cache/merflow` where
MERFLOW_HOME is not set). It lies outside the Hugging Face cache on purpose: whoever changes the cache does not change
the record. Copy it along with the cache to a machine without a network; there, a cache without a record works too,
only unchecked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from configs.errors import RunError
from configs.home import home
from storage.atomic import write_text


def record_path(repo: str, commit: str) -> Path:
    """Where the record of one commit of a repository lies on this machine.

    Args:
        repo: Hugging Face repository.
        commit: Its commit.
    """
    return home() / "weights" / repo.replace("/", "--") / f"{commit}.json"


def recorded_files(repo: str, commit: str) -> dict[str, str]:
    """SHA-256 by file name as recorded; empty if this machine never pulled the commit.

    Args:
        repo: Hugging Face repository.
        commit: Its commit.

    Raises:
        RunError: If the record is damaged.
    """
    path = record_path(repo, commit)
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["files"])
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path}: not a record of weights; remove it and run `merflow weights pull` again") from error


def record(pulled: Mapping[str, Any]) -> Path:
    """Write down what was fetched; files of the same commit recorded earlier stay recorded.

    Args:
        pulled: `repo`, `revision`, `commit` and `files` (SHA-256 by name).

    Returns:
        The record.

    Raises:
        RunError: If a file of the same commit was recorded with another hash.
    """
    repo, commit = str(pulled["repo"]), str(pulled["commit"])
    check_recorded(repo, commit, pulled["files"])
    path = record_path(repo, commit)
    files = recorded_files(repo, commit) | dict(pulled["files"])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(dict(pulled) | {"files": files}, indent=1, sort_keys=True) + "\n")
    return path


def check_recorded(repo: str, commit: str, files: Mapping[str, str]) -> None:
    """Compare hashes of files with the record; a file that was not recorded is not checked.

    Args:
        repo: Hugging Face repository.
        commit: Its commit.
        files: SHA-256 of each file that is used, by name.

    Raises:
        RunError: The first file that differs, what was expected, what was found.
    """
    for name, expected in sorted(recorded_files(repo, commit).items()):
        if files.get(name, expected) != expected:
            hint = f"; remove it from the Hugging Face cache and pull again (record: {record_path(repo, commit)})"
            raise mismatch(f"{repo}@{commit}", name, expected, files[name], hint)


def mismatch(what: str, name: str, expected: str, got: str, hint: str = "") -> RunError:
    """The one line about a file that is not what it should be.

    Args:
        what: Whose file it is.
        name: Name of the file.
        expected: The hash it should have.
        got: The hash it has.
        hint: What to do.
    """
    return RunError(f"weights {what}: {name}: expected sha256 {expected}, got {got}{hint}")
