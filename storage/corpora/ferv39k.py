"""FERV39k: 38,935 clips of 22 kinds of scenes in seven emotions, as folders of frames; no audio, no text.

Tree: `2_ClipsforFaceCrop/<Scene>/<Emotion>/<0001>/*.jpg` (faces), `3_ClipsforScenImages/...` (whole frames),
`4_setups/All_scenes/{train_All.csv,test_All.csv}` with lines such as `Action/Sad/0010 Sad`, without a header.
Times: the corpus does not state how many frames make a second: give `rate=25`, or whatever you know.
Splits: as the setup says; without one, folders are clips without a split.
Quirks: frames are in the order of their numbers (2 before 10); unpacking may double the top folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

from configs.errors import RunError
from storage.corpora._shared.clip_builder import CorpusRow
from storage.corpora._shared.corpus import CorpusOptions, InPlaceCorpus
from storage.corpora._shared.media_finder import is_wanted
from storage.corpora._shared.tree import read_text

_FOLDERS = {"faces": "2_ClipsforFaceCrop", "scenes": "3_ClipsforScenImages"}
_DEPTH = 6
_WIDTH = 1000


class Ferv39kOptions(CorpusOptions):
    """Options of the reader `ferv39k`.

    Attributes:
        rate: Frames a second, which the corpus does not state.
        frames: `faces` takes the cropped faces, `scenes` the whole frames.
        setup: Folder of `4_setups` that has the splits.
    """

    rate: float | None = None
    frames: Literal["faces", "scenes"] = "faces"
    setup: str = "All_scenes"


class Ferv39kCorpus(InPlaceCorpus[Ferv39kOptions]):
    """Folders of frames with the emotion of the setup's lists."""

    name = "ferv39k"
    Options = Ferv39kOptions
    title = "FERV39k"
    citation = "Wang et al., FERV39k: A Large-Scale Multi-Scene Dataset for Facial Expression Recognition, CVPR 2022"
    licence = "by application from a university; non-commercial, no redistribution"
    modalities = frozenset({"video"})
    signs = (r"(?:2_clipsforfacecrop|3_clipsforscenimages)/[^/]+/[^/]+/\d+/\d+\.(?:jpg|png)",)
    expected_clips: ClassVar[Mapping[str, int]] = {"train": 31088, "test": 7847}
    labels: ClassVar[Mapping[str, str]] = {
        "angry": "angry",
        "disgust": "disgust",
        "fear": "fear",
        "happy": "happy",
        "neutral": "neutral",
        "sad": "sad",
        "surprise": "surprise",
    }

    def check(self) -> None:
        """Look for the frames, and for their rate.

        Raises:
            RunError: If the frames are not there, or nobody said their rate.
        """
        if not self.source.is_dir():
            raise RunError(f"{self.source}: expected the folder of FERV39k, with {_FOLDERS['faces']}")
        _ = self._top
        if not self.options.rate or self.options.rate <= 0:
            raise RunError("FERV39k does not state how many frames make a second: give --opt rate=25, or what you know")

    @cached_property
    def _top(self) -> Path:
        """The folder of the frames, however deep it lies."""
        name = _FOLDERS[self.options.frames]
        level = [self.source]
        for _ in range(_DEPTH):
            for folder in level:
                if folder.name.lower() == name.lower():
                    return folder
            level = [inner for folder in level for inner in _folders(folder)][:_WIDTH]
        raise RunError(f"{self.source}: expected the folder {name} in it or below, found none")

    @cached_property
    def _prefix(self) -> str:
        path = self._top.relative_to(self.source).as_posix()
        return "" if path == "." else f"{path}/"

    @cached_property
    def _listed(self) -> dict[str, tuple[str, str]]:
        """Split and emotion by `Scene/Emotion/0001`."""
        listed: dict[str, tuple[str, str]] = {}
        for split in ("train", "test"):
            path = self._setup_list(split)
            for line in [] if path is None else read_text(path).splitlines():
                name, _, emotion = line.strip().rpartition(" ")
                if name:
                    listed.setdefault(name.strip("/"), (split, emotion))
        return listed

    def _setup_list(self, split: str) -> Path | None:
        """The list of a split; the tree of frames, which may have millions of files, is not walked for it."""
        for above in (self._top.parent, *self._top.parents):
            for setups in _folders(above) if above.is_relative_to(self.source) else ():
                named = [f for f in _folders(setups) if f.name.lower() == self.options.setup.lower()]
                if setups.name.lower() == "4_setups" and named:
                    lists = (p for p in named[0].iterdir() if p.name.lower().startswith(split) and p.suffix == ".csv")
                    return next(iter(sorted(lists)), None)
        return None

    @cached_property
    def _found(self) -> dict[str, str]:
        """Folders of frames, by `scene/emotion/0001` in small letters, in order."""
        paths = (
            f"{scene.name}/{emotion.name}/{clip.name}"
            for scene in _folders(self._top)
            for emotion in _folders(scene)
            for clip in _folders(emotion)
        )
        return {path.lower(): path for path in paths}

    def rows(self) -> Iterator[CorpusRow]:
        """One row per listed folder; without lists, per folder."""
        if self._listed:
            for name, (split, emotion) in self._listed.items():
                yield self._row(name, split, emotion)
        else:
            for name in self._found.values():
                yield self._row(name, None, name.split("/")[1])

    def _row(self, name: str, split: str | None, emotion: str) -> CorpusRow:
        scene = name.split("/", maxsplit=1)[0]
        fields = {"split": split, "label_raw": emotion, "frame_rate": self.options.rate, "about": {"scene": scene}}
        path = self._found.get(name.lower(), name)
        return CorpusRow(name, name.replace("/", "_"), name, video=f"{self._prefix}{path}", fields=fields)

    def notes(self) -> Iterator[str]:
        """Listed clips without a folder, and the rate that was given."""
        self.report.missing += [f"{name}: no such folder" for name in self._listed if name.lower() not in self._found]
        yield f"times at {self.options.rate:g} frames a second, as you said"
        if not self._listed:
            yield f"no 4_setups/{self.options.setup}: labels by the folders' names, no splits"

    def left_over(self) -> Iterator[str]:
        """Folders of frames that no list names."""
        if self._listed:
            listed = {name.lower() for name in self._listed}
            yield from (f"{self._prefix}{path}" for name, path in self._found.items() if name not in listed)


def _folders(above: Path) -> list[Path]:
    return sorted(path for path in above.iterdir() if is_wanted(path.name) and path.is_dir())
