"""Which of several faces speaks: by how its mouth moves with the voice, or by a network. See docs/speaking.md."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import pairwise
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from configs.errors import RunError
from configs.sections import Speaking as SpeakingOptions
from extractors.core.extractor import Extractor
from extractors.core.faces.stored_tracks import read_tracks, without_gaps
from extractors.core.faces.synchrony import (
    RATE,
    MouthSeries,
    flux,
    on_grid,
    smoothed,
    synchrony,
)
from extractors.core.faces.tracking import Track
from extractors.core.media.clip_media import Media
from extractors.core.networks.random_weights import seeded
from extractors.core.networks.weights import ResolvedWeights, resolve
from storage.errors import ClipError
from storage.records import Features, FeatureSpec
from storage.vocabulary.face_tracks import FACE_TRACKS, LANDMARK_COLUMNS, SPEAKING, SPEAKING_COLUMNS

VOICE = "voice_activity"
_SPEECH = 1  # its column that is 1 where somebody speaks
Array = npt.NDArray[np.float64]
ScoreOf = Callable[[Track, float, float], float | None]
"""Score of a track from one second to another."""


class Speaking(Extractor[SpeakingOptions]):
    """A score per track and frame, and its margin over the best other track's.

    Rows are those of `face_tracks`. Scores are taken over pieces of the clip and are the same in all rows of a piece.
    Not valid: where nobody speaks in the piece, where a face is shown for less than `shortest` seconds of it, and in
    clips with a single face, of which nothing is computed. `margin` is 0 where no other face has a score.
    """

    name = SPEAKING
    Options = SpeakingOptions
    modality: ClassVar[Literal["video"]] = "video"
    reads = ("audio",)
    engines: ClassVar[tuple[str, ...]] = ("scipy",)
    licence = ""

    @property
    def needs(self) -> tuple[str, ...]:
        """The tracks, and where somebody speaks."""
        return (FACE_TRACKS, VOICE)

    def describe(self) -> FeatureSpec:
        """Three columns, a row per frame and track.

        Raises:
            RunError: If the detector finds no landmarks, or voice activity is not in windows.
        """
        tracks, voice = self.inputs[FACE_TRACKS], self.inputs[VOICE]
        if self.options.method == "synchrony" and not set(LANDMARK_COLUMNS) <= set(tracks.columns):
            raise RunError(f"{self.feature}: synchrony needs landmarks, which {tracks.source} does not find")
        if voice.recipe.get("rows") != "windows":
            raise RunError(
                f"{self.feature}: expected voice_activity with rows: windows, got {voice.recipe.get('rows')}"
            )
        return FeatureSpec(
            name=self.feature,
            extractor=self.name,
            modality="video",
            level="frame",
            columns=SPEAKING_COLUMNS,
            recipe=self.options.model_dump(mode="json", exclude={"weights"}),
            weights={} if self._file is None else self._file.identity,
            synthetic=self._file is not None and self._file.synthetic,
            source="merflow" if self._file is None else "LR-ASD",
        )

    @cached_property
    def _file(self) -> ResolvedWeights | None:
        return None if self.options.weights is None else resolve(self.options.weights)

    def load(self, device: str) -> None:
        """Load the network of `lr_asd`, which runs on the CPU.

        Raises:
            RunError: If its file is damaged or of another network.
        """
        if self._file is not None:
            from extractors.core.faces.lr_asd import LrAsd, read_lr_asd

            folder, identity = self._file.folder, self._file.identity
            if folder is None:
                self._network = seeded(identity["seed"], LrAsd).eval()
            else:
                self._network = read_lr_asd(folder / str(identity["file"]))
        self.loaded = True

    def extract_clip(self, media: Media) -> Features:
        """Scores of one clip.

        Raises:
            ClipError: If the clip has no frames.
        """
        stamps, rows = media.frame_times(), media.feature(FACE_TRACKS)
        values = np.full((len(rows.values), 3), np.nan)
        valid = np.zeros(len(values), np.bool_)
        tracks = read_tracks(rows, stamps)
        candidates = [track for track in tracks if _shown(track, stamps).sum() >= self.options.shortest]
        voice = _voice(media) if len(candidates) > 1 else None
        if voice is not None:
            scored = self._talking(media, candidates, stamps) if self._file else self._moving(media, candidates, stamps)
            for begin, end in self._pieces(stamps):
                scores = self._scores(scored, candidates, stamps, voice, begin, end)
                self._fill(values, valid, rows, scores, begin, end)
        return self.checked(values, rows.times, valid)

    def _pieces(self, stamps: Array) -> list[tuple[float, float]]:
        first, last, piece = float(stamps[0, 0]), float(stamps[-1, 1]), self.options.piece
        count = max(int((last - first) / piece), 1)
        edges = [first + i * piece for i in range(count)] + [last]
        return list(pairwise(edges))

    def _scores(
        self, scored: ScoreOf, candidates: Sequence[Track], stamps: Array, voice: Features, begin: float, end: float
    ) -> dict[int, float]:
        """Score of each track in one piece; none where nobody speaks, and of those that are shown too briefly."""
        middles = voice.times.mean(axis=1)
        inside = (middles >= begin) & (middles < end)
        if not voice.values[inside, _SPEECH].any():
            return {}
        scores = {}
        for track in candidates:
            times = stamps[track.first : track.last + 1].mean(axis=1)
            mine = (times >= begin) & (times < end)
            if _shown(track, stamps)[mine].sum() < self.options.shortest:
                continue
            score = scored(track, max(begin, times[mine][0]), min(end, times[mine][-1]))
            if score is not None:
                scores[track.id] = score
        return scores

    @staticmethod
    def _moving(media: Media, candidates: Sequence[Track], stamps: Array) -> ScoreOf:
        """How well the mouth of a track moves with the voice."""
        series, audio, voice = _series(media, candidates), media.audio(), media.feature(VOICE)
        at, change = media.once("flux", lambda: flux(audio.samples, audio.rate))

        def score(track: Track, begin: float, end: float) -> float | None:
            if not len(at):
                return None
            grid = np.arange(begin, end + 1e-9, 1 / RATE)
            probability = on_grid(voice.times.mean(axis=1), voice.values[:, :1].T.astype(np.float64), grid)
            voices = np.concatenate([probability, on_grid(at + audio.start, change[None], grid)])
            times = stamps[track.first : track.last + 1].mean(axis=1)
            return synchrony(on_grid(times, series[track.id], grid), voices)

        return score

    def _talking(self, media: Media, candidates: Sequence[Track], stamps: Array) -> ScoreOf:
        """What the network says of a track: whether it speaks, while there is speech."""
        from extractors.core.faces.lr_asd import network_scores

        scores = network_scores(self._network, media, candidates, stamps)

        def score(track: Track, begin: float, end: float) -> float | None:
            times, values = scores[track.id]
            inside = (times >= begin) & (times <= end)
            return float(values[inside].mean()) if inside.any() else None

        return score

    @staticmethod
    def _fill(
        values: Array, valid: npt.NDArray[np.bool_], rows: Features, scores: dict[int, float], begin: float, end: float
    ) -> None:
        middles = rows.times.mean(axis=1)
        inside = (middles >= begin) & (middles < end)
        for track_id, score in scores.items():
            others = [other for i, other in scores.items() if i != track_id]
            mine = inside & (rows.values[:, 0] == track_id)
            values[mine] = track_id, score, score - max(others) if others else 0.0
            valid |= mine


def _shown(track: Track, stamps: Array) -> Array:
    """(N,) seconds for which each of a track's frames shows it; 0 in a gap."""
    lengths = np.diff(stamps[track.first : track.last + 1], axis=1)[:, 0]
    seconds: Array = np.where(np.isnan(track.confidence), 0.0, lengths)
    return seconds


def _voice(media: Media) -> Features | None:
    """Voice activity of a clip; None where it has no audio, or nobody speaks."""
    try:
        voice = media.feature(VOICE)
    except ClipError:
        return None
    return voice if voice.values[:, _SPEECH].any() else None


def _series(media: Media, tracks: Sequence[Track]) -> dict[int, Array]:
    """How the mouth of each track moves, from its first to its last frame; one pass over the frames."""
    points = {track.id: smoothed(without_gaps(track.landmarks).reshape(-1, 5, 2)) for track in tracks}
    made = {track.id: MouthSeries() for track in tracks}
    for frame in media.frames():
        shown = [track for track in tracks if track.first <= frame.index <= track.last]
        if shown:
            rgb = frame.rgb()
            for track in shown:
                made[track.id].add(rgb, points[track.id][frame.index - track.first])
    return {track.id: made[track.id].series() for track in tracks}
