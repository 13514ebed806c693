"""What decoding costs, against another commit in the same run, on a folder of clips.

    git worktree add ../before COMMIT
    python -m benchmarks.decoding FOLDER --before ../before

Both trees decode every clip (audio and frames), and make every fifth frame's copy for face detection (`copies`), in
processes of their own, in turn, with this tree's environment. `ratio` is the seconds of decoding in this tree over
those in the other, each clip's quietest of the rounds; `equal_audio` says whether every sample of every clip is the
same in both.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from benchmarks._report import report

ROUNDS = 3
SUFFIXES = {".mp4", ".mov", ".mkv", ".avi", ".webm"}
CODE = """
import hashlib, json, sys, time
from pathlib import Path
from extractors.core.media.clip_media import Media
from storage.clip import Clip
def decoded(path):
    media = Media(Clip("c", video=path.name, audio=path.name), path.parent)
    begin = time.perf_counter()
    media.decode()
    return media, time.perf_counter() - begin


seconds, audio = {}, {}
paths = [Path(name) for name in sys.argv[1:]]
for path in paths * 4:  # what a process does once, such as imports, is behind it after the first of them
    media, taken = decoded(path)
    media.close()
    seconds[path.name] = {"decode": min(taken, seconds.get(path.name, {"decode": taken})["decode"])}
for path in paths:
    media, _ = decoded(path)
    begin = time.perf_counter()
    for frame in media.frames():
        if frame.index % 5 == 0:
            frame.rgb(320)
    seconds[path.name]["copies"] = time.perf_counter() - begin
    audio[path.name] = hashlib.sha256(media.audio().samples.tobytes()).hexdigest()
    media.close()
print(json.dumps([seconds, audio]))
"""


def main() -> None:
    """Measure both trees in turn."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decoding", description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--before", type=Path, required=True, help="another commit's worktree")
    arguments = parser.parse_args()
    clips = sorted(p.absolute() for p in arguments.folder.iterdir() if p.suffix in SUFFIXES)
    trees = {"now": Path(__file__).parents[1], "before": arguments.before}
    rounds: dict[str, list[dict[str, dict[str, float]]]] = {name: [] for name in trees}
    audio = {}
    for _ in range(ROUNDS):
        for name, tree in trees.items():
            command = [sys.executable, "-c", CODE, *map(str, clips)]
            done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=True)
            seconds, audio[name] = json.loads(done.stdout)
            rounds[name].append(seconds)
    best = {
        name: {part: sum(min(r[clip.name][part] for r in found) for clip in clips) for part in ("decode", "copies")}
        for name, found in rounds.items()
    }
    ratios = {part: best["now"][part] / best["before"][part] for part in best["now"]}
    equal = audio["now"] == audio["before"]
    report("decoding", ratios["decode"], ratios=ratios, seconds=best, equal_audio=equal, clips=len(clips))


if __name__ == "__main__":
    main()
