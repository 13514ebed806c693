"""Extractors: one file or folder per feature that turns clips into numbers.

In: decoded media of clips, and options. Out: `Features` or `Failure` per clip, with a spec that names every column.
Read `core/extractor.py` first, then `gemaps.py` (no network) and `mae.py` (a network). An extractor never imports
another one, never sees the store, and never returns a number where it measured nothing.
"""
