"""Exporters, one module each: `export(store, destination, options)`."""
