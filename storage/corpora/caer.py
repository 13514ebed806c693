"""CAER and CAER-S: 13,201 clips of television series, and about 70,000 still frames of them, in seven emotions.

Tree: `CAER/{train,validation,test}/{Anger,Disgust,Fear,Happy,Neutral,Sad,Surprise}/0001.avi`,
`CAER-S/{train,test}/{Anger,...}/0001.png`. `Angry` for `Anger` and `Train` for `train` are the same.
Splits: as the folders say.
Quirks: numbers restart in each class, so ids hold split, emotion and number. Whether every clip has audio was not
verified: one without fails for audio features with `no_audio`, or is skipped by the configuration's rule. A image of
CAER-S is a clip of one frame, without audio and text. There is no transcript.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from storage.corpora._shared.clip_builder import CorpusRow
from storage.corpora._shared.corpus import CorpusOptions
from storage.corpora._shared.named_files import FilesOfClip, NamedFile, NamedFiles
from storage.vocabulary.media_suffixes import IMAGE_SUFFIXES, VIDEO_SUFFIXES


class CaerCorpus(NamedFiles[CorpusOptions]):
    """Clips, or single images, with the emotion of their folder."""

    name = "caer"
    Options = CorpusOptions
    title = "CAER"
    citation = "Lee et al., Context-Aware Emotion Recognition Networks, ICCV 2019"
    licence = "non-commercial research, from the project's page"
    modalities = frozenset({"audio", "video"})
    labels: ClassVar[Mapping[str, str]] = {
        "anger": "angry",
        "disgust": "disgust",
        "fear": "fear",
        "happy": "happy",
        "neutral": "neutral",
        "sad": "sad",
        "surprise": "surprise",
    }
    pattern = (
        r"(?P<split>train|validation|test)/(?P<emotion>anger|angry|disgust|fear|happy|neutral|sad|surprise)/"
        r"(?P<number>\d+)\.(?:avi|mp4|png|jpg)"
    )
    example = "train/Anger/0001.avi"
    suffixes = (*VIDEO_SUFFIXES, *IMAGE_SUFFIXES)

    def name_of(self, file: NamedFile) -> str:
        """Split, emotion and number; images have names of their own."""
        parts = file.parts
        kind = "s_" if file.suffix in IMAGE_SUFFIXES else ""
        return f"{kind}{parts['split'].lower()}_{_emotion(parts['emotion'])}_{parts['number']}"

    def row(self, clip: FilesOfClip) -> CorpusRow:
        """One clip, or one image."""
        name, files = clip
        file = files[0]
        is_image = file.suffix in IMAGE_SUFFIXES
        fields: dict[str, Any] = {"split": file.parts["split"].lower(), "label_raw": _emotion(file.parts["emotion"])}
        if is_image:
            fields["lacks"] = ("audio", "text")
        return CorpusRow(file.path, name, video=file.path, audio=None if is_image else file.path, fields=fields)


def _emotion(word: str) -> str:
    return "anger" if word.lower() == "angry" else word.lower()
