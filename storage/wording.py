"""Words for people: counts that read well."""

from __future__ import annotations

from storage.digests import canonical_json


def shortened(value: object, limit: int = 60) -> str:
    """JSON text of a value, cut where it is long.

    Args:
        value: Plain JSON types.
        limit: Most characters.

    >>> shortened({"layers": [1, 2, 3]}, limit=9)
    '{"layers"...'
    """
    text = canonical_json(value)
    return text if len(text) <= limit else f"{text[:limit]}..."


def counted(number: int, noun: str) -> str:
    """A number with its noun, which gets an `s` unless there is one of it.

    Args:
        number: How many.
        noun: The noun in the singular.

    >>> counted(1, "clip"), counted(0, "clip")
    ('1 clip', '0 clips')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def size_of(count: int) -> str:
    """A number of bytes, in MiB or GiB.

    >>> size_of(3 << 20), size_of(5 << 29), size_of(10)
    ('3 MiB', '2.5 GiB', 'less than 1 MiB')
    """
    if 0 < count < 1 << 20:
        return "less than 1 MiB"
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count >> 20} MiB"


def having(number: int, noun: str) -> str:
    """A number with its noun and the verb `have`.

    Args:
        number: How many.
        noun: The noun in the singular.

    >>> having(1, "clip"), having(2, "clip")
    ('1 clip has', '2 clips have')
    """
    return f"{counted(number, noun)} {'has' if number == 1 else 'have'}"
