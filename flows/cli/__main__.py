"""`python -m flows.cli` is the command `merflow`."""

from flows.cli.app import main

main()
