"""How long `merflow --help` and `import merflow` take, against an earlier commit, in one run.

    python -m benchmarks.startup [COMMIT]

Both trees run in processes of their own, in turn, with this Python and its packages; the first round, which compiles
bytecode, does not count. `ratio` is this tree's median seconds for `merflow --help` over the earlier commit's.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks._report import report

BEFORE = "e20cc66"  # the last commit before issue 18
ROUNDS = 9
HERE = Path(__file__).resolve().parent.parent
CALLS = {"help": ["-m", "flows.cli", "--help"], "import": ["-c", "import merflow; print(merflow.__file__)"]}


def main(commit: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        subprocess.run(["git", "worktree", "add", "--detach", name, commit], cwd=HERE, check=True, capture_output=True)
        try:
            trees = {"before": Path(name).resolve(), "now": HERE}
            seconds = measure(trees)
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", name], cwd=HERE, check=True)
    medians = {key: statistics.median(taken) for key, taken in seconds.items()}
    rounded = {f"{call}_{tree}_s": round(value, 3) for (call, tree), value in medians.items()}
    imported = round(medians["import", "now"] / medians["import", "before"], 3)
    report("startup", medians["help", "now"] / medians["help", "before"], import_ratio=imported, **rounded)


def measure(trees: dict[str, Path]) -> dict[tuple[str, str], list[float]]:
    """Wall seconds of each call in each tree."""
    seconds: dict[tuple[str, str], list[float]] = {(call, tree): [] for call in CALLS for tree in trees}
    for turn in range(ROUNDS + 1):
        for (call, tree), taken in seconds.items():
            begin = time.perf_counter()
            shown = run(CALLS[call], trees[tree])
            spent = time.perf_counter() - begin
            if call == "import" and Path(shown.strip()).resolve().parent != trees[tree]:
                raise SystemExit(f"imported {shown.strip()}, not the code in {trees[tree]}")
            if turn:
                taken.append(spent)
    return seconds


def run(arguments: list[str], tree: Path) -> str:
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run([sys.executable, *arguments], cwd=tree, env=clean, check=True, capture_output=True, text=True)
    return done.stdout


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else BEFORE)
