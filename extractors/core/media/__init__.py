"""One clip, decoded once: containers, audio, frames, and crops of frames.

In: a `Clip` and the folder of its media. Out: 16 kHz audio, upright frames and their times in seconds from the clip's
start. Read `clip_media.py` first. `reading.py` says which passes are made
over a file, `demuxing.py` makes one; never guess a time from a nominal frame rate.
"""
