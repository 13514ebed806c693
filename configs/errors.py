"""The root of the exception tree.

```
MerflowError
  RunError         nothing can be done at all; exit code 2
    ConfigError    a configuration or an option that cannot be used
    StoreError     a store, manifest or export that is damaged or does not fit (storage.errors)
  ClipError        one clip cannot give one feature; recorded, the run goes on (storage.errors)
```

Anything else that escapes is a fault of merflow or of one machine: the shard is retried, and what is still missing
stays missing until a later run.
"""

from __future__ import annotations


class MerflowError(Exception):
    """Base of every error that merflow raises on purpose."""


class RunError(MerflowError):
    """A run cannot start or continue; the message is one readable line for the user."""


class ConfigError(RunError):
    """A configuration or an option that cannot be used; the message is one readable line."""
