"""openSMILE on a clip's audio, in one pass and bounded memory."""

from __future__ import annotations

import time
import warnings
from array import array
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import numpy as np
import numpy.typing as npt

BUFFER_SECONDS = 30  # of samples that openSMILE holds at once
FULL_SECONDS = 0.001  # to wait where it holds so many


def make_smile(feature_set: str, level: str) -> Any:
    """An `opensmile.Smile`.

    Args:
        feature_set: Name in `opensmile.FeatureSet`.
        level: Name in `opensmile.FeatureLevel`.

    Raises:
        ValueError: If the set has no such level.
    """
    import opensmile

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # "v01a is deprecated": the user asked for it by name
        return opensmile.Smile(opensmile.FeatureSet[feature_set], opensmile.FeatureLevel[level])


def one_pass(smile: Any, samples: npt.NDArray[np.float32], rate: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """What `opensmile.Smile.process_signal` gives, in less than half of its memory.

    The samples go through openSMILE's own components in one pass, but in blocks, through a buffer of half a minute;
    opensmile hands over all at once, in several copies, and makes three objects of each row: 2.4 GB for two hours.

    Args:
        smile: An `opensmile.Smile`.
        samples: (N,) samples of one channel.
        rate: Samples per second.

    Returns:
        (T, D) float32 values, and (T, 2) seconds; the last row ends with the audio, as opensmile has it. No rows where
        the audio is too short for one: opensmile makes up one of NaN.
    """
    from opensmile.core.config import config
    from pandas import to_timedelta

    values, stamps = array("f"), array("d")

    def collect(row: Any, stamp: Any) -> None:
        values.frombytes(row.tobytes())
        stamps.extend((stamp.time, stamp.time + stamp.lengthSec))

    with NamedTemporaryFile("w", suffix=".conf", encoding="ascii") as source:
        text = (Path(smile.default_config_root) / config.EXTERNAL_INPUT_CONFIG).read_text(encoding="ascii")
        for asked in ("writer.levelconf.growDyn=1", "writer.levelconf.isRb=0"):
            if asked not in text:
                raise RuntimeError(f"openSMILE's {config.EXTERNAL_INPUT_CONFIG} does not say {asked} any more")
        text = text.replace("writer.levelconf.growDyn=1", "writer.levelconf.growDyn=0")
        text = text.replace(
            "writer.levelconf.isRb=0", f"writer.levelconf.isRb=1\nwriter.levelconf.nT={BUFFER_SECONDS * rate}"
        )
        source.write(text)
        source.flush()
        options = smile._options() | {"source": source.name, "sampleRate": rate, "nBits": 16}
        engine = smile._smile(options=options)
    engine.external_sink_set_callback_ex(config.EXTERNAL_OUTPUT_COMPONENT, collect)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(engine.run)
        try:
            for first in range(0, len(samples), rate):
                block = (samples[first : first + rate] * np.float32(32768)).astype(np.int16).tobytes()
                while not engine.external_audio_source_write_data(config.EXTERNAL_SOURCE_COMPONENT, block):
                    if running.done():
                        break  # it tells why below
                    time.sleep(FULL_SECONDS)
        finally:
            engine.external_audio_source_set_eoi(config.EXTERNAL_SOURCE_COMPONENT)  # else it would run for ever
        running.result()
    engine.free()
    if not stamps:
        return np.empty((0, len(smile.feature_names)), np.float32), np.empty((0, 2))
    seconds = to_timedelta(np.frombuffer(stamps, np.float64), "s").total_seconds().to_numpy().reshape(-1, 2).copy()
    seconds[0, 0], seconds[-1, 1] = 0.0, to_timedelta(len(samples) / rate, "s").total_seconds()
    return np.frombuffer(values, np.float32).reshape(len(seconds), -1), seconds
