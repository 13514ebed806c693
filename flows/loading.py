"""Loading extractors on the device that there is: networks on a GPU where one can be used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from extractors.core.extractor import Extractor


def load_extractors(extractors: Sequence[Extractor[Any]], threads: int) -> dict[str, str]:
    """Load what is needed to extract and not loaded yet; torch only where some extractor needs it.

    Args:
        extractors: The extractors.
        threads: Of model arithmetic.

    Returns:
        The device of each feature whose extractor was loaded now.
    """
    fresh, device = [e for e in extractors if not e.loaded], "cpu"
    if any(not e.releases_gil for e in fresh):
        from extractors.core.networks.runtime import choose_device, set_threads

        set_threads(threads)
        device = choose_device()
    for extractor in fresh:
        extractor.load(device)
        extractor.loaded = True
    return dict.fromkeys((e.feature for e in fresh), device)
