"""Numbers and times as people write them in tables."""

from __future__ import annotations

import math
import re

_CLOCK = re.compile(r"(-?)(?:(\d+):)?(\d+):(\d+(?:[.,]\d+)?)")
_DECIMAL_COMMA = re.compile(r"-?\d+,\d+")


def number(text: str, name: str) -> float:
    """A number, with a decimal point or comma.

    Args:
        text: The cell.
        name: Of the field, for messages.

    Raises:
        ValueError: If it is none.

    >>> number("1,5", "start"), number("-2.25", "valence")
    (1.5, -2.25)
    """
    written = text.strip()
    try:
        value = float(written.replace(",", ".") if _DECIMAL_COMMA.fullmatch(written) else written)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{name}: expected a number, got {text!r}")
    return value


def number_or_none(text: str) -> float | None:
    """A number; None where there is none, such as in `NaN` and empty cells.

    >>> number_or_none("2.5"), number_or_none("NaN"), number_or_none("")
    (2.5, None, None)
    """
    try:
        return number(text, "")
    except ValueError:
        return None


def seconds(text: str, name: str) -> float:
    """A time in seconds, or as `minutes:seconds` or `hours:minutes:seconds`.

    Args:
        text: The cell.
        name: Of the field, for messages.

    Raises:
        ValueError: If it is none.

    >>> seconds("00:01:01.5", "start"), seconds("1:02,25", "end"), seconds("7", "end")
    (61.5, 62.25, 7.0)
    """
    found = _CLOCK.fullmatch(text.strip())
    if found is None:
        return number(text, name)
    sign, hours, minutes, rest = found.groups()
    value = int(hours or 0) * 3600 + int(minutes) * 60 + float(rest.replace(",", "."))
    return -value if sign else value
