"""The command line: `graphflow serve`, `run`, `validate`, `plan`, `nodes`, `models`, `import`, `export`."""

from graphflow.cli.main import app, main

__all__ = ["app", "main"]
