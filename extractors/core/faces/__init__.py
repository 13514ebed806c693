"""Faces: detectors, tracks of detections, and the one main face of a clip.

In: frames of a clip. Out: the main face's box in every frame, which the extractor `faces` stores and others read as
the feature `faces`. Read `main_face.py` first, then `tracking.py`. No box may depend on a network other than the
detector, nor be filled in where nobody was found.
"""
