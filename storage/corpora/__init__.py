"""Corpus readers, one module each: `read(root) -> Ingested`."""
