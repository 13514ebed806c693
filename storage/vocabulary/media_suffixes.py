"""Suffixes of media files.

Every one that FFmpeg's audio and video demuxers go by, and the common ones of those that go by none (such as `.ts`,
`.mpeg`, `.wma`). Captions, playlists, text and still images are not media.
"""

from __future__ import annotations


def _suffixes(names: str) -> tuple[str, ...]:
    return tuple(f".{name}" for name in names.split())


# The first ones are preferred where a clip has several files.
VIDEO_SUFFIXES = _suffixes(
    "mp4 mkv mov avi webm flv m4v mpg wmv mpeg mpe ts mts m2ts m2t m2v m1v m2p mpv vob 3gp 3g2 3gpp ogv ogm asf "
    "rm rmvb mxf dv dif divx xvid qt f4v ism ismv mj2 psp gif mjpeg mjpg mk3d nut nuv nsv ivf wtv ty ty+ trp tp "
    "tod amv swf y4m 264 265 266 avc avs avs2 avs3 apv cdg cdxl xl dav evc flm fli flc h261 h263 h264 h265 h266 "
    "h26l hevc ifv imx ipu ivr kux lvf moflex mvi mxg obu pdv rcv roq sdr2 ser sga smk bik usm vc1 viv vvc xmv "
    "yop"
)
AUDIO_SUFFIXES = _suffixes(
    "wav flac mp3 m4a ogg opus aac wma oga spx m4b mka aif aiff aifc au snd caf w64 rf64 bwf wave mp1 mp2 m2a mpa "
    "mpc ape apl ac3 ac4 eac3 ec3 dts dtshd amr awb gsm ra tta wv tak shn mlp thd truehd dsf dff dss isma voc vox "
    "722 aa aa3 aax acm adp ads adx aea afc aix apc aptx aptxhd ast avr bcstm bfstm binka bonk brstm c2 daud "
    "dfpwm dtk fap fsb fwse g722 g723_1 g728 g729 genh hca iamf ircam laf lc3 mac mca msbc msf mtaf musx nist nsp "
    "oma omg osq paf pvf qoa rco rka rsd rso sbc sdns sds sdx sf sln sph ss2 svag svs tco vag vpk vqe vqf vql wa "
    "way wsd xmd xvag xwma"
)
MEDIA_SUFFIXES = VIDEO_SUFFIXES + AUDIO_SUFFIXES

# Clips only where a corpus says so: a folder of them is the frames of one clip, or each is a clip of one frame.
IMAGE_SUFFIXES = _suffixes("jpg jpeg png bmp tif tiff webp ppm pgm")

# Suffixes that FFmpeg's demuxers go by too, and why files with them are not taken for clips.
NOT_MEDIA_SUFFIXES = {
    **dict.fromkeys(_suffixes("avif heic heif jxl mpo j2k"), "still images"),
    **dict.fromkeys(_suffixes("al ul sb ub sw uw"), "samples without a header: their rate is not known"),
    **dict.fromkeys(_suffixes("302 bit bmv cdata cgi dat mods mks son str v vb"), "mostly something else"),
}
