"""Runs: planning, workers, engines, the Prefect server, and the command line."""
