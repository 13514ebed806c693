"""Loading extractors on the device that there is: networks on a GPU where one can be used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from extractors.core.extractor import Extractor


def load_extractors(extractors: Sequence[Extractor[Any]], threads: int) -> str:
    """Load what is needed to extract; torch only where some extractor needs it.

    Args:
        extractors: Those that are not loaded yet.
        threads: Of model arithmetic.

    Returns:
        The device that they were loaded for.
    """
    device = "cpu"
    if any(not e.releases_gil for e in extractors):
        from extractors.core.networks.runtime import choose_device, set_threads

        set_threads(threads)
        device = choose_device()
    for extractor in extractors:
        extractor.load(device)
        extractor.loaded = True
    return device
