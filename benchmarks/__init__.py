"""Benchmarks: one script per claim, each ends with one JSON line."""
