"""What extractors are built on: the extension point, and three wings that know no extractor.

In: a clip and its files. Out: decoded media, face detection and tracking, networks that run in batches.
Read `extractor.py` first, then `media/clip_media.py`; networks build on media, faces on both. Never import an
extractor here: what serves one extractor lies in that extractor's folder.
"""
