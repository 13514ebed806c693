"""Exporters: one folder per format that writes what a training code reads.

In: an open feature store and checked options. Out: a file or folder, written whole or not at all, validated before it
is published, with the record of where its numbers come from. Read `_shared/exporter.py` first, then a small format such
as `webdataset/`. A format never imports another one, opens no media, and needs no GPU.
"""

from storage.exporters._shared.exporter import EXPORTERS, Exporter, ExportOptions, export

__all__ = ["EXPORTERS", "ExportOptions", "Exporter", "export"]
