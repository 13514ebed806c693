"""RAVDESS: speech and song of 24 actors, as video with audio, video alone and audio alone.

Tree: `Actor_01/03-01-05-01-02-01-12.wav`, `Actor_01/01-01-05-01-02-01-12.mp4`: modality (01 video with audio, 02 video
only, 03 audio only), channel (01 speech, 02 song), emotion, intensity, statement, repetition, actor. The files of one
take in several modalities are one clip: the video with audio, and the audio file where it is there.
Splits: none; the actors are the groups.
Counts: 1,440 takes of speech; song besides (actor 18 has none).
Quirks: a popular copy holds the whole set a second time in an inner folder: copies are reported and not taken.
"""

from __future__ import annotations

from collections.abc import Sequence

from storage.corpora._shared.clip_builder import CorpusRow
from storage.corpora._shared.corpus import CorpusOptions
from storage.corpora._shared.named_files import FilesOfClip, NamedFile, NamedFiles, audio_of

_EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
_STATEMENTS = {"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"}
_PARTS = ("channel", "emotion", "intensity", "statement", "repetition", "actor")
_MODALITIES = {"01": "video with audio", "02": "video only", "03": "audio only"}


class RavdessCorpus(NamedFiles[CorpusOptions]):
    """Takes with the acted emotion and its intensity."""

    name = "ravdess"
    Options = CorpusOptions
    title = "RAVDESS"
    citation = "Livingstone and Russo, The Ryerson Audio-Visual Database of Emotional Speech and Song, PLoS ONE 2018"
    licence = "CC BY-NC-SA 4.0 (Zenodo 1188976)"
    pattern = (
        r"(?P<modality>0[123])-(?P<channel>0[12])-(?P<emotion>0[1-8])-(?P<intensity>0[12])-(?P<statement>0[12])-"
        r"(?P<repetition>0[12])-(?P<actor>\d{2})\.(?:wav|mp4|flv|avi)"
    )
    example = "Actor_01/03-01-05-01-02-01-12.wav"

    def name_of(self, file: NamedFile) -> str:
        """The file's name without its modality."""
        return "-".join(file.parts[part] for part in _PARTS)

    def is_other_view(self, file: NamedFile, files: Sequence[NamedFile]) -> bool:
        """Whether a video is the one without audio beside the one with.

        Args:
            file: The file.
            files: All files of its clip.
        """
        first = next(other for other in files if other.suffix == file.suffix)
        return file.parts["modality"] != first.parts["modality"]

    def row(self, clip: FilesOfClip) -> CorpusRow:
        """One take."""
        name, files = clip
        by_modality = {modality: [f for f in files if f.parts["modality"] == modality] for modality in _MODALITIES}
        both, silent = (next((f.path for f in by_modality[modality]), None) for modality in ("01", "02"))
        parts = files[0].parts
        fields = {
            "text": _STATEMENTS[parts["statement"]],
            "language": "en",
            "speaker": parts["actor"],
            "group": parts["actor"],
            "label_raw": _EMOTIONS[int(parts["emotion"]) - 1],
            "about": {
                "channel": {"01": "speech", "02": "song"}[parts["channel"]],
                "intensity": {"01": "normal", "02": "strong"}[parts["intensity"]],
                "repetition": parts["repetition"],
                "gender": "female" if int(parts["actor"]) % 2 == 0 else "male",
            },
        }
        audio = audio_of(by_modality["03"]) or both
        if audio is None:
            fields["lacks"] = ("audio",)
        return CorpusRow(files[0].path, name, video=both or silent, audio=audio, fields=fields)
