"""The files of IndoMER's own repository: `Annotations.csv` and the split JSONs, byte for byte.

```
3_Class/3_class_<split>.json, 7_Class/7_class_<split>.json   a list of flat objects, all values text
Annotations.csv                                              one row per clip of all splits
```

All are UTF-8 without a mark and end their lines with CRLF. In the published `Annotations.csv` the text of 15 rows is
damaged: punctuation in GBK that was once read as Latin-1 (`£¬` for a full-width comma); the JSONs have it whole.
"""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from storage.errors import StoreError

Row = dict[str, str]

ANNOTATIONS = "Annotations.csv"
ANNOTATION_COLUMNS = (
    *("video_name", "audio_name", "emotion", "sentiment"),
    *("text_sentiment", "audio_sentiment", "video_sentiment", "text"),
)
# Keys of the items of each class set, in order.
SPLIT_KEYS: dict[str, tuple[str, ...]] = {
    "3": ("sample_id", "text", "audio_label", "text_label", "video_label", "label", "video", "audio"),
    "7": ("sample_id", "text", "sentiment_label", "label", "video", "audio"),
}
# Labels of each class set; the place is the `label_id` of merflow's own JSONs, for the repository's have none.
CLASSES: dict[str, tuple[str, ...]] = {
    "3": ("negatif", "netral", "positif"),
    "7": ("netral", "kebahagiaan", "kesedihan", "kemarahan", "jijik", "ketakutan", "surprise"),
}


def split_json_name(classes: str, split: str) -> str:
    """Path of a split JSON within the repository.

    Args:
        classes: `3` or `7`.
        split: Such as `train`.
    """
    return f"{classes}_Class/{classes}_class_{split}.json"


def dump_split_json(items: Sequence[Mapping[str, object]]) -> bytes:
    """The bytes of a split JSON: indented by two, text as it is, CRLF, no line end at the end."""
    return json.dumps(items, indent=2, ensure_ascii=False).replace("\n", "\r\n").encode()


def parse_split_json(data: bytes) -> list[Row]:
    """The items of a split JSON; `dump_split_json` gives the bytes back.

    Raises:
        StoreError: If it is not a list of flat objects of text.
    """
    try:
        items = json.loads(data)
    except ValueError as error:
        raise StoreError(f"split JSON: {error}") from error
    if not isinstance(items, list) or not all(_is_flat(item) for item in items):
        raise StoreError("split JSON: expected a list of objects whose values are all text")
    return items


def _is_flat(item: object) -> bool:
    return isinstance(item, dict) and all(isinstance(value, str) for value in item.values())


def dump_annotations(rows: Iterable[Mapping[str, str]]) -> bytes:
    """The bytes of `Annotations.csv`, rows in the order given."""
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, ANNOTATION_COLUMNS, lineterminator="\r\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue().encode()


def parse_annotations(data: bytes) -> list[Row]:
    """The rows of `Annotations.csv` as they are written; `dump_annotations` gives the bytes back.

    Raises:
        StoreError: If it is not UTF-8, or its columns or the number of cells in a row are others.
    """
    try:
        header, *rows = csv.reader(io.StringIO(data.decode(), newline=""), strict=True)
    except (ValueError, csv.Error) as error:
        raise StoreError(f"{ANNOTATIONS}: {error}") from error
    if tuple(header) != ANNOTATION_COLUMNS:
        raise StoreError(f"{ANNOTATIONS}: expected the columns {','.join(ANNOTATION_COLUMNS)}, got {','.join(header)}")
    for number, cells in enumerate(rows, 2):
        if len(cells) != len(header):
            raise StoreError(f"{ANNOTATIONS}: row {number}: expected {len(header)} cells, got {len(cells)}")
    return [dict(zip(header, cells, strict=True)) for cells in rows]


def repaired(text: str) -> str:
    """A text with GBK punctuation that was read as Latin-1 made whole; any other text as it is.

    Only text that gives nothing but punctuation beside ASCII is taken for damaged: `café` and `naïve` are not.
    """
    try:
        whole = text.encode("latin-1").decode("gbk")
    except UnicodeError:
        return text
    foreign = [c for c in whole if not c.isascii()]
    return whole if all(unicodedata.category(c).startswith("P") for c in foreign) else text
