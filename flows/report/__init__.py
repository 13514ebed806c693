"""A store as a folder of pages for people: what is in it, what failed and why, what to look at before training.

In comes a store, out comes a folder of HTML that opens from disk without a network. Read `facts.py` first: everything
that the first page says is gathered there; `charts.py` draws it, `pages.py` writes it. `clip_tracks.py` gathers one
clip over time, for its page (`clip_page.py`) and for the image of `merflow inspect --plot` (`plot.py`). Nothing here
changes a store, and frames of people are shown only where somebody asks for them.
"""
