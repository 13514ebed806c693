"""One clip as a Rerun recording: frames, box, landmarks and curves on one time axis (extra `view`)."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from configs.errors import RunError
from flows.report.clip_media import ClipMedia, Marks
from flows.report.clip_tracks import Track, tracks_of
from storage.atomic import publish
from storage.clip import Clip
from storage.errors import ClipError
from storage.store.store import FeatureStore

CLOCK = "clip"


def record_clip(store: FeatureStore, clip: Clip, out: Path | None, *, frames: bool) -> list[str]:
    """Record one clip.

    Args:
        store: The store.
        clip: The clip.
        out: Recording to write (`.rrd`); None opens the viewer.
        frames: Whether its frames are shown.

    Returns:
        Lines that tell a person what was done.

    Raises:
        RunError: If the extra `view` is not installed.
    """
    try:
        import rerun
    except ImportError as error:
        raise RunError("merflow view needs Rerun: pip install 'merflow[view]' (rerun-sdk)") from error
    stream = rerun.RecordingStream(f"merflow {store.path.absolute().name}", recording_id=clip.id)
    if out is None:
        stream.spawn()
        _log(rerun, stream, store, clip, frames=frames)
        stream.flush()
        return [f"opened {clip.id} in Rerun's viewer"]
    with publish(out) as temporary:
        stream.save(temporary)
        _log(rerun, stream, store, clip, frames=frames)
        stream.flush()
        stream.disconnect()
    return [f"wrote {out}"]


def _log(rerun: Any, stream: Any, store: FeatureStore, clip: Clip, *, frames: bool) -> None:
    with closing(ClipMedia(store, clip, frames=frames)) as media:
        for track in tracks_of(store, clip.id, media.wave()).tracks:
            _log_track(rerun, stream, track)
        if frames:
            _log_frames(rerun, stream, media, Marks(store, clip.id))


def _log_track(rerun: Any, stream: Any, track: Track) -> None:
    """Each column as a curve of its own under the track's name; what has no value is left out."""
    place = track.title.split(" (", maxsplit=1)[0].split(":", maxsplit=1)[0].replace(" ", "_")
    for number, name in enumerate(track.names):
        values = track.values[:, number]
        held = np.isfinite(values)
        if held.any():
            stream.send_columns(
                f"curves/{place}/{name.replace(' ', '_')}",
                indexes=[rerun.TimeColumn(CLOCK, duration=track.times[held])],
                columns=rerun.Scalars.columns(scalars=values[held]),
            )


def _log_frames(rerun: Any, stream: Any, media: ClipMedia, marks: Marks) -> None:
    try:
        for frame in media.frames():
            stream.set_time(CLOCK, duration=frame.start)
            stream.log("frames", rerun.Image(frame.rgb()).compress(jpeg_quality=85))
            box, points = marks.at(frame.index)
            stream.log("frames/face", rerun.Clear(recursive=True))
            if box is not None:
                stream.log("frames/face/box", rerun.Boxes2D(array=box[None], array_format=rerun.Box2DFormat.XYXY))
            if points is not None:
                stream.log("frames/face/landmarks", rerun.Points2D(points.reshape(2, -1).T, radii=2.0))
    except ClipError as error:
        raise RunError(f"clip {media.clip_id}, frames: {error.message}") from error
