"""The feature store on disk: a folder of HDF5 shard files, published whole or not at all.

In: `Features` or `Failure` of each clip, shard by shard. Out: the same, by clip and feature, with their specs.
Read `layout.py` first (where each file lies), then `store.py`; `docs/store_format.md` describes the files themselves.
Files are opened, listed and published through `files.py` only. Never decode media, import an extractor, or change a
published shard file here.
"""
