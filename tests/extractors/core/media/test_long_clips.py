"""Memory of the face stage on a clip whose frames do not fit: ten minutes of 1080p, 18.7 GB decoded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from tests.scenes import compose, scaled, written

FPS, CYCLE, CYCLES = 10, 50, 120
SHOWN = 40
CACHE, REST = 64 << 20, 192 << 20  # bytes of frames that may be kept, and of everything else

# The peak is the kernel's VmHWM: `ru_maxrss` would count the process that started this one too.
RUN = """
import json, re, sys
from pathlib import Path
from configs.sections import Faces
from extractors.core.faces.main_face import find_main_face
from tests.scenes import decoded
media = decoded(Path(sys.argv[1]), cache=int(sys.argv[2]))
track = find_main_face(media, Faces(short_side=120))
peak = 1024 * int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1])
found = {"count": track.count.tolist(), "main": int(track.valid.sum())}
print(json.dumps(found | {"peak": peak, "passes": media.video_passes}))
"""


def repeated(source: Path, path: Path, times: int) -> Path:
    """A clip's coded frames again and again: quick to write, and as long as wanted."""
    with av.open(str(source)) as container, av.open(str(path), "w") as out:
        [packets] = [[p for p in container.demux(video=0) if p.size]]
        stream = out.add_stream_from_template(container.streams.video[0])
        length = int(CYCLE / FPS / packets[0].time_base)
        for cycle in range(times):
            for packet in packets:
                copy = av.Packet(bytes(packet))
                copy.time_base, copy.is_keyframe = packet.time_base, packet.is_keyframe
                copy.pts, copy.dts = packet.pts + cycle * length, packet.dts + cycle * length
                copy.stream = stream
                out.mux(copy)
    return path


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
@pytest.mark.timeout(1200)
def test_ten_minutes_of_1080p_stay_within_bounds_and_are_exact_to_the_frame(feat_clips, tmp_path):
    tiles = {"single_face.mp4": dict.fromkeys(range(SHOWN), (100, 40, 94))}
    frames = [scaled(p, 1920, 1080) for p in compose(feat_clips, CYCLE, tiles)]
    cycle = written(tmp_path / "cycle.mp4", frames, fps=FPS)
    path = repeated(cycle, tmp_path / "long.mp4", CYCLES)
    command = [sys.executable, "-c", RUN, str(path), str(CACHE)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    np.testing.assert_array_equal(found["count"], ([1] * SHOWN + [0] * (CYCLE - SHOWN)) * CYCLES)
    assert found["main"] == SHOWN
    assert found["passes"] == 2
    assert found["peak"] < CACHE + REST
