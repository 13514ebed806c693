"""Extractors: one module each, found by its name. `core/` is what they are fed and run on."""
