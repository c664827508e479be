"""Run all benchmarks, or those named: ``python -m benchmarks window cost --output DIR``."""

import sys
from pathlib import Path

import anyio
from cyclopts import App
from rich.console import Console

from benchmarks import batching, cost, diff, fitting, growth, importing, listing, window
from benchmarks.tables import Table

BENCHMARKS = {
    "window": window.run,
    "cost": cost.run,
    "growth": growth.run,
    "fitting": fitting.run,
    "listing": listing.run,
    "batching": batching.run,
    "diff": diff.run,
    "importing": importing.run,
}

app = App(name="benchmarks", help="Measure ours beside what a user would write and the limit.")


@app.default
async def measure(*names: str, output: Path | None = None) -> None:
    """Show the figures of all benchmarks, or of those named.

    Args:
        names: Which benchmarks.
        output: A directory for the same tables as Markdown, and for pictures.

    """
    if unknown := set(names) - set(BENCHMARKS):
        sys.exit(f"no benchmark {unknown.pop()!r}; there are: {', '.join(BENCHMARKS)}")
    console = Console()
    for name in names or BENCHMARKS:
        tables: list[Table] = []
        async for shown in BENCHMARKS[name]():
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
