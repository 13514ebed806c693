"""The command line: one file per group of commands. The only code that prints.

In: words of a command. Out: lines, tables or JSON, and an exit code: 0 all planned work stored or skipped by rule, 1
some clip failed or is missing, 2 usage or configuration, 130 interrupted. Read `app.py` first. A command calls what
does the work and shows what it returns; heavy libraries are imported inside the commands, so that `--help` is instant.
"""

from flows.cli.app import app, main

__all__ = ["app", "main"]
