"""The command line: one file per group of commands. The only code that prints.

In: words of a command. Out: lines, tables or JSON, and an exit code: 0 all that was asked for is stored or skipped by
rule, 1 something asked for is failed, stale or missing, 2 usage, configuration or place, 130 interrupted. Read `app.py`
first. A command calls what does the work and shows what it returns; heavy libraries are imported inside the commands,
so that `--help` is instant.
"""

from flows.cli.app import app, main

__all__ = ["app", "main"]
