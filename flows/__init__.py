"""Runs: from a configuration and a manifest to a store, with Prefect around shards and Dask under them.

In: a run configuration, a manifest, a store. Out: published shard files, a record of the run, lines for a person.
Read `run.py` first, then `plan.py`, `worker.py`, `prefect_flow.py` and `engine.py`. Prefect is imported in
`prefect_flow.py` only, Dask in `engine.py` only; no array crosses a process other than through the store.
"""
