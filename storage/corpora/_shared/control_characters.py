"""Texts that were read in the wrong encoding once: control characters that were punctuation in cp1252."""

from __future__ import annotations

import re

_CONTROL = re.compile("[\x80-\x9f]")


def repaired_text(text: str) -> str:
    r"""A text in which C1 control characters, which nobody writes, are what these bytes are in cp1252.

    Args:
        text: As it is written.

    >>> repaired_text("It\x92s") == "It\u2019s"
    True
    """
    return _CONTROL.sub(lambda found: bytes([ord(found[0])]).decode("cp1252", "replace"), text)
