"""What corpus readers share: the contract, and the builder from what a corpus says to clips.

In: rows as a corpus spells them. Out: clips with unique ids and found media, as a stream, and the report.
Read `corpus.py` first, then `clip_builder.py`. Never import a reader here, and know no corpus by name.
"""
