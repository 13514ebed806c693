"""Names and rules that several rooms share: columns, action-unit rules, label words, IndoMER's own files.

In: words as corpora and engines spell them. Out: merflow's words, column names, and rules from published papers.
Read `labels.py` first. Only plain tables and pure functions: nothing here opens a file or knows a store.
"""
