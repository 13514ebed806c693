"""In which encoding a text file is written, where nobody says."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from configs.errors import RunError

_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_HIGH = re.compile(rb"[\x80-\xff]+")
_BLOCK = 1 << 20
_MOST = 10  # nine of ten
CHINESE = "gb18030"


def encoding_of(path: Path) -> str:
    """The first encoding that fits all of a file: UTF-16 by its mark, UTF-8, Chinese, Western European.

    Chinese text (GBK) has its high bytes in pairs; in Western European text (cp1252) they mostly stand alone, and
    between other letters.

    Args:
        path: The file.
    """
    with path.open("rb") as raw:
        if (mark := raw.read(2)) in _MARKS:
            return _MARKS[mark]
    if _is_readable(path, "utf-8-sig"):
        return "utf-8-sig"
    if _looks_chinese(path) and _is_readable(path, CHINESE):
        return CHINESE
    return "cp1252" if _is_readable(path, "cp1252") else "latin-1"  # the last one reads anything


def _is_readable(path: Path, encoding: str) -> bool:
    try:
        with path.open(encoding=encoding, newline="") as file:
            while file.read(_BLOCK):
                pass
    except UnicodeDecodeError:
        return False
    return True


def _looks_chinese(path: Path) -> bool:
    """Whether bytes beyond ASCII come in pairs, nearly all of them of GB 2312's common characters, outside of words."""
    pairs = common = runs = inside = 0
    with path.open("rb") as file:
        for line in file:
            for run in _HIGH.finditer(line):
                data = run[0]
                if len(data) % 2:
                    return False
                pairs += len(data) // 2
                common += sum(
                    0xA1 <= first <= 0xF7 and second >= 0xA1
                    for first, second in zip(data[::2], data[1::2], strict=True)
                )
                runs += 1
                around = line[run.start() - 1 : run.start()] + line[run.end() : run.end() + 1]
                inside += len(around) == 2 and around.isalpha()
    return common * _MOST >= pairs * (_MOST - 1) and inside * _MOST <= runs


def require_encoding(name: str) -> None:
    """Refuse an encoding that there is not.

    Args:
        name: What was asked for.

    Raises:
        RunError: If there is no such encoding.
    """
    try:
        codecs.lookup(name)
    except LookupError as error:
        raise RunError(f"encoding={name}: no such encoding; such as utf-8, gb18030, cp1252, shift_jis") from error
