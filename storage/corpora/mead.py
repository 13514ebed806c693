"""MEAD: talking faces of 48 actors in up to seven views, eight emotions, three levels.

Tree, after unpacking `video.tar` and `audio.tar` of each actor:
`M003/video/front/angry/level_1/001.mp4`, `M003/audio/angry/level_1/001.m4a`; `W009_video/video/front/...` too.
Splits: by its README the last ten takes of neutral and the last six of every other emotion and level are test; they
are counted among the takes that are there.
Quirks: numbers shift where a take is missing, so that `001` of the audio need not be `001` of the video: the video's
own audio is taken unless `audio=m4a` asks for the other. Actor W017 has the view `down` only; M011 and M019 lack some.
Numbers repeat everywhere: ids hold actor, view, emotion, level and number.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import ClassVar, Literal

from storage.corpora._shared.clip_builder import CorpusRow
from storage.corpora._shared.corpus import CorpusOptions
from storage.corpora._shared.named_files import FilesOfClip, NamedFile, NamedFiles
from storage.wording import counted

_VIEWS = "front|down|top|left_30|left_60|right_30|right_60"
_AUDIO = "audio"


class MeadOptions(CorpusOptions):
    """Options of the reader `mead`.

    Attributes:
        view: The view to take, such as `front` or `left_30`; `all` takes every one as a clip of its own.
        audio: `video` takes the video's own audio, `m4a` the audio file of the same number.
        split: `readme` divides as its README says; `none` leaves splits away.
    """

    view: str = "front"
    audio: Literal["video", "m4a"] = "video"
    split: Literal["readme", "none"] = "readme"


class MeadCorpus(NamedFiles[MeadOptions]):
    """Takes of one view with the acted emotion and its level; of an actor without videos, the audio files."""

    name = "mead"
    Options = MeadOptions
    title = "MEAD"
    citation = "Wang et al., MEAD: A Large-scale Audio-visual Dataset for Emotional Talking-face Generation, ECCV 2020"
    licence = "non-commercial research, no redistribution; code MIT"
    modalities = frozenset({"audio", "video"})
    labels: ClassVar[Mapping[str, str]] = {
        "angry": "angry",
        "disgusted": "disgust",
        "contempt": "contempt",
        "fear": "fear",
        "happy": "happy",
        "sad": "sad",
        "surprised": "surprise",
        "neutral": "neutral",
    }
    pattern = (
        r"(?P<actor>[MW]\d{3})(?:_\w+)?/(?:video/|audio/)+"
        rf"(?:(?P<view>{_VIEWS})/)?(?P<emotion>[a-z]+)/level_(?P<level>[123])/(?P<number>\d{{3}})\.(?:mp4|m4a|wav|mp3)"
    )
    example = "M003/video/front/angry/level_1/001.mp4"

    def name_of(self, file: NamedFile) -> str:
        """Actor, view (`audio` for an audio file), emotion, level and number."""
        parts = file.parts
        view = parts["view"].lower() or _AUDIO
        return f"{parts['actor'].upper()}_{view}_{parts['emotion'].lower()}_level_{parts['level']}_{parts['number']}"

    @cached_property
    def _actors(self) -> dict[str, set[str]]:
        """Views by actor, `audio` among them."""
        views: dict[str, set[str]] = defaultdict(set)
        for files in self._named.values():
            views[files[0].parts["actor"].upper()].add(files[0].parts["view"].lower() or _AUDIO)
        return views

    def _is_wanted(self, view: str, actor: str) -> bool:
        if view == _AUDIO:
            return self._actors[actor] == {_AUDIO}
        return self.options.view in {"all", view}

    @cached_property
    def _test(self) -> set[str]:
        """Names of the takes that the README's rule makes test."""
        takes: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for name, files in self._named.items():
            parts = files[0].parts
            key = (parts["actor"].upper(), parts["view"].lower(), parts["emotion"].lower(), parts["level"])
            takes[key].append(name)
        return {name for key, names in takes.items() for name in sorted(names)[-(10 if key[2] == "neutral" else 6) :]}

    def row(self, clip: FilesOfClip) -> CorpusRow | None:
        """One take."""
        name, files = clip
        parts, path = files[0].parts, files[0].path
        actor, view, emotion = parts["actor"].upper(), parts["view"].lower(), parts["emotion"].lower()
        if not self._is_wanted(view or _AUDIO, actor):
            return None
        partner = self._named.get(f"{actor}_{_AUDIO}_{emotion}_level_{parts['level']}_{parts['number']}")
        audio = path if partner is None or self.options.audio == "video" else partner[0].path
        fields = {
            "language": "en",
            "speaker": actor,
            "group": actor,
            "label_raw": emotion,
            "about": {"view": view or "none", "level": parts["level"], "gender": _GENDERS[actor[0]]},
        }
        if self.options.split == "readme":
            fields["split"] = "test" if name in self._test else "train"
        return CorpusRow(path, name, video=path if view else None, audio=audio, fields=fields)

    def notes(self) -> Iterator[str]:
        """Which files the chosen view leaves out, and which actors lack it."""
        yield from super().notes()
        left = [files[0] for files in self._named.values() if not self._is_wanted(*_place(files[0]))]
        others = sorted({view for view, _ in map(_place, left)} - {_AUDIO})
        if others:
            number = sum(_place(file)[0] != _AUDIO for file in left)
            left_out = f"{counted(number, 'video')} of {', '.join(others)} left out (view=all)"
            yield f"view {self.options.view} taken; {left_out}"
        if self.options.view != "all":
            for actor, views in sorted(self._actors.items()):
                if views - {_AUDIO} and self.options.view not in views:
                    yield f"actor {actor} has no view {self.options.view}, only {', '.join(sorted(views - {_AUDIO}))}"
        audio_files = sum(_place(file)[0] == _AUDIO for file in left)
        if audio_files and self.options.audio == "video":
            yield f"{counted(audio_files, 'audio file')} left out for the videos' own audio (audio=m4a)"


_GENDERS = {"M": "male", "W": "female"}


def _place(file: NamedFile) -> tuple[str, str]:
    return file.parts["view"].lower() or _AUDIO, file.parts["actor"].upper()
