"""What a user may say: run configurations, options of plug-ins, and the root of the error tree.

In: YAML files and `key=value` options. Out: frozen, checked pydantic models, or one readable line why not.
Read `schema.py` first (the run configuration), then `plugins.py` (how plug-ins are found and their options parsed).
Never import storage, extractors or flows here, and never open a corpus, a store or a model.
"""
