"""Run all benchmarks, or those named: ``python -m benchmarks window cost --output DIR``."""

import sys
from importlib import import_module
from pathlib import Path

import anyio
from cyclopts import App
from rich.console import Console

from benchmarks.tables import Table

BENCHMARKS = (
    "window",
    "shared",
    "cost",
    "growth",
    "fitting",
    "listing",
    "batching",
    "diff",
    "importing",
)
"""Modules, each with `run`, and in SHORT the arguments that make it end soon."""

app = App(name="benchmarks", help="Measure ours beside what a user would write and the limit.")


@app.default
async def measure(*names: str, output: Path | None = None, short: bool = False) -> None:
    """Show the figures of all benchmarks, or of those named.

    Args:
        names: Which benchmarks.
        output: A directory for the same tables as Markdown, and for pictures.
        short: Only see whether they run: with so little work that the figures say nothing.

    """
    if unknown := set(names) - set(BENCHMARKS):
        sys.exit(f"no benchmark {unknown.pop()!r}; there are: {', '.join(BENCHMARKS)}")
    if output:
        # Now, and not after minutes of measuring.
        await anyio.Path(output).mkdir(parents=True, exist_ok=True)
    console = Console()
    for name in names or BENCHMARKS:
        module = import_module(f"benchmarks.{name}")
        tables: list[Table] = []
        async for shown in module.run(**module.SHORT if short else {}):
            if isinstance(shown, Table):
                console.print(shown.on_terminal())
                tables.append(shown)
            elif output:
                (output / f"{shown.name}.svg").write_text(shown.svg, "utf-8")
        if output:
            text = "\n".join(table.in_markdown() for table in tables)
            (output / f"{name}.md").write_text(text, "utf-8")


# The processes that are measured import this module as well.
if __name__ == "__main__":
    anyio.run(app.run_async)
