"""Which of FFmpeg's demuxers may open a file, and which of them state a length that can be believed.

A demuxer that reads other files, addresses or devices named in the file (playlists, `concat`, SDP), that takes any text
for media, or that reads frames, captions or raw pixels is never tried: such a file opens nothing else.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import av
from av.container import InputContainer

_OTHER_FILES = {"concat", "dash", "hls", "imf", "rtp", "rtsp", "sap", "sdp", "vapoursynth", "webm_dash_manifest"}
_DEVICES = {
    "alsa",
    "fbdev",
    "jack",
    "kmsgrab",
    "lavfi",
    "oss",
    "pulse",
    "v4l2",
    "video4linux2,v4l2",
    "x11grab",
    "xcbgrab",
}
_TEXT = {"adf", "bin", "data", "ffmetadata", "idf", "sbg", "tty", "xbin"}
_CAPTIONS = {
    "aqtitle", "ass", "dvbsub", "dvbtxt", "jacosub", "lrc", "mcc", "microdvd", "mpl2", "mpsub", "pjs", "rcwt",
    "realtext", "sami", "scc", "srt", "stl", "subviewer", "subviewer1", "sup", "tedcaptions", "vobsub", "vplayer",
    "webvtt",
}  # fmt: skip
_PICTURES = {"alias_pix", "brender_pix", "fits", "ico", "image2", "image2pipe", "msp", "pictor", "txd"}
_RAW_PIXELS = {"bitpacked", "rawvideo", "v210", "v210x"}
_REFUSED = _OTHER_FILES | _DEVICES | _TEXT | _CAPTIONS | _PICTURES | _RAW_PIXELS

# Containers whose header states the length of each track, or of the whole file. All others guess it from bit rates or
# from the last packets (MPEG-TS, MPEG-PS, ADTS, MP3, raw streams), or state what recorders leave wrong (FLV).
_STATE_TRACKS = {"mov", "avi", "wav", "w64", "aiff", "flac", "caf", "au", "voc", "tta", "ape", "wv"}
_STATE_WHOLE = {"matroska", "asf"}
_NO_PRESENTATION_TIMES = {"avi"}  # FFmpeg makes them up, in the order of decoding
_TRIMS_LAST_FRAME = {"mov"}
_XING = (b"Xing", b"Info", b"VBRI")
_ID3_HEAD = 10


@cache
def media_demuxers() -> tuple[str, ...]:
    """Names of the demuxers that may open a file, in order."""
    names = set()
    for name in av.formats_available:
        try:
            av.ContainerFormat(name, "r")
        except ValueError:  # only a muxer
            continue
        if not _REFUSED & set(name.split(",")) and not name.endswith("_pipe"):
            names.add(name)
    return tuple(sorted(names))


def states_tracks(container: InputContainer, path: Path) -> bool:
    """Whether the length of each of a file's streams is stored in it.

    Args:
        container: The open file.
        path: The file.
    """
    names = _names(container)
    return bool(names & _STATE_TRACKS) or ("mp3" in names and _counts_mp3_frames(path))


def states_whole(container: InputContainer) -> bool:
    """Whether one length is stored for all of a file's streams together."""
    return bool(_names(container) & _STATE_WHOLE)


def has_presentation_times(container: InputContainer) -> bool:
    """Whether packets carry the time at which their frames are shown, and not only that of their decoding."""
    return not _names(container) & _NO_PRESENTATION_TIMES


def trims_last_frame(container: InputContainer, stream: av.AudioStream) -> bool:
    """Whether a track's stored length says how much of its last frame is padding.

    FFmpeg 9's rule: AAC in an MP4 that is not fragmented, with one edit that begins at once.

    Args:
        container: The open file.
        stream: The track.
    """
    is_whole = bool(stream.frames) and not stream.start_time
    return is_whole and stream.codec.name == "aac" and bool(_names(container) & _TRIMS_LAST_FRAME)


def _names(container: InputContainer) -> set[str]:
    return set(container.format.name.split(","))


def _counts_mp3_frames(path: Path) -> bool:
    """Whether an MP3 file's first frame holds the number of its frames."""
    with path.open("rb") as file:
        head = file.read(_ID3_HEAD)
        if head[:3] == b"ID3":
            size = 0
            for byte in head[6:10]:
                size = size << 7 | byte & 0x7F
            file.seek(size, 1)
            head = b""
        head += file.read(2048)
    return any(word in head for word in _XING)
