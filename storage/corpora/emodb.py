"""EmoDB, the Berlin database of emotional speech: 535 German utterances by ten actors, audio only.

Tree: `wav/03a01Fa.wav`: speaker (2 digits), text (3 characters), emotion (a letter), version (a letter). Some copies
have `lablaut/`, `labsilb/` and `silb/` beside it, which are not read.
Splits: none; leave-one-speaker-out is usual (`merflow split --by speaker`).
Quirks: the letters are German (`A` is fear, `F` is joy), unlike those of CREMA-D and MSP.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from storage.corpora._shared.clip_builder import CorpusRow
from storage.corpora._shared.corpus import CorpusOptions
from storage.corpora._shared.named_files import FilesOfClip, NamedFile, NamedFiles

_TEXTS = {
    "a01": "Der Lappen liegt auf dem Eisschrank.",
    "a02": "Das will sie am Mittwoch abgeben.",
    "a04": "Heute abend könnte ich es ihm sagen.",
    "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
    "a07": "In sieben Stunden wird es soweit sein.",
    "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
    "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
    "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
    "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
    "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
}
_SPEAKERS = {
    "03": ("male", "31"),
    "08": ("female", "34"),
    "09": ("female", "21"),
    "10": ("male", "32"),
    "11": ("male", "26"),
    "12": ("male", "30"),
    "13": ("female", "32"),
    "14": ("female", "35"),
    "15": ("male", "25"),
    "16": ("female", "31"),
}


class EmodbCorpus(NamedFiles[CorpusOptions]):
    """Utterances with speaker, sentence and acted emotion."""

    name = "emodb"
    Options = CorpusOptions
    title = "EmoDB"
    citation = "Burkhardt et al., A Database of German Emotional Speech, Interspeech 2005"
    licence = "open download; version 2 on Zenodo is CC BY 4.0 as reported"
    modalities = frozenset({"audio", "text"})
    expected_clips: ClassVar[Mapping[str, int]] = {"": 535}
    labels: ClassVar[Mapping[str, str]] = {
        "w": "angry",
        "l": "boredom",
        "e": "disgust",
        "a": "fear",
        "f": "happy",
        "t": "sad",
        "n": "neutral",
    }
    pattern = r"(?P<speaker>\d{2})(?P<text>[ab]\d{2})(?P<emotion>[WLEAFTN])(?P<version>[a-z])\.wav"
    example = "wav/03a01Fa.wav"
    suffixes = (".wav",)

    def name_of(self, file: NamedFile) -> str:
        """The file's name without its suffix."""
        return "".join(file.parts[key] for key in ("speaker", "text", "emotion", "version"))

    def row(self, clip: FilesOfClip) -> CorpusRow:
        """One utterance."""
        name, files = clip
        parts = files[0].parts
        gender, age = _SPEAKERS.get(parts["speaker"], ("", ""))
        fields = {
            "text": _TEXTS.get(parts["text"].lower()),
            "language": "de",
            "speaker": parts["speaker"],
            "group": parts["speaker"],
            "label_raw": parts["emotion"],
            "about": {"sentence": parts["text"]} | ({"gender": gender, "age": age} if gender else {}),
        }
        return CorpusRow(files[0].path, name, audio=files[0].path, fields=fields)
