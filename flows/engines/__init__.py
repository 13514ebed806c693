"""Where shards run: beside this process, on local Dask workers, on a Dask cluster elsewhere, or in this process.

Comes in: a job. Goes out: its report, or that its worker died. All engines run the same plain function,
`flows.worker.extract_shard`, and give the same store. Read `engine.py` first, then `choice.py`. Dask is imported in
`dask_cluster.py` only; nothing here knows Prefect, or judges what a death means: `flows.dispatch` does.
"""
