"""How things are shown to people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from graphflow.errors import ErrorBody, GraphflowError, Problem

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def show_problems(error: GraphflowError | ErrorBody) -> None:
    """Everything that is wrong, a line each, on standard error."""
    problems = [problem for problem in error.problems if problem.node or problem.input] or ()
    if not problems:
        err.print(Text.assemble(("error: ", "bold red"), error.message), soft_wrap=True)
        return
    count = f"{len(problems)} problems" if len(problems) > 1 else "1 problem"
    err.print(Text.assemble(("error: ", "bold red"), count))
    for problem in problems:
        err.print(Text.assemble("  ", (place(problem), "bold"), ": ", problem.message), soft_wrap=True)


def place(problem: Problem) -> str:
    """`node.input`."""
    return ".".join(part for part in (problem.node, problem.input) if part)


def size(count: int) -> str:
    """`4.3 GB`."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def columns(rows: Sequence[Sequence[str]]) -> None:
    """Rows with their columns in line; the last one is not cut."""
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(max(map(len, rows), default=0))]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)]
        out.print(Text("  ".join([*cells, row[-1]])), soft_wrap=True)
