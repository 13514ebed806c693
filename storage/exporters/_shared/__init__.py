"""What several export formats need: the contract, choice of clips and features, labels, arrays, files, validation.

In: a store, or an export that was written. Out: ids, arrays, lines for people, problems. Read `exporter.py` first.
Never import a format here: what serves one format lives in that format's folder.
"""
