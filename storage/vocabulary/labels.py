"""From the words that corpora use to merflow's labels: only words that mean the same in every corpus.

Single letters and number codes are not here, for `A` is anger in one corpus and fear in another: a corpus that uses
them needs a reader of its own.
"""

from __future__ import annotations

LABELS: dict[str, str] = {
    "angry": "ang anger angry mad kemarahan",
    "boredom": "boredom boredem",
    "calm": "calm calmness",
    "contempt": "contempt",
    "disgust": "dis disgust disgusted jijik",
    "excited": "exc excited",
    "fear": "fea fear fearful scared ketakutan",
    "frustrated": "fru frustrated",
    "happy": "hap happy happiness joy joyful joyfully kebahagiaan",
    "neutral": "neu neutral netral",
    "no_agreement": "xxx no_agreement",
    "other": "oth other",
    "sad": "sad sadness kesedihan",
    "surprise": "sur surprise surprised",
    "worried": "worried",
}
"""merflow's labels, each with the words that mean it in every corpus."""
_BY_WORD = {word: label for label, words in LABELS.items() for word in words.split()} | {"no emotion": "neutral"}


def normalise(raw: str | None) -> str | None:
    """Label in merflow's vocabulary; None where there is no certain counterpart, never `neutral` by default."""
    return None if raw is None else _BY_WORD.get(raw.strip().lower())
