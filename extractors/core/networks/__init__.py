"""Networks: where their weights are, how they are loaded once, and the one engine that runs them in batches.

In: weights by hub name, path or seed, and units of several clips as a stream. Out: outputs, unit by unit.
Read `network_extractor.py` first, then `batching.py`. Nothing here uses the internet but `weights_pull.py`, executes
code from a weights file, or holds all units of all clips.
"""
