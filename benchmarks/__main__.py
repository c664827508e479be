"""Run all benchmarks, or those named: ``python -m benchmarks window cost --markdown``."""

import sys

import anyio
from cyclopts import App
from rich.console import Console

from benchmarks import batching, cost, journal, listing, window

BENCHMARKS = {
    "window": window.run,
    "cost": cost.run,
    "listing": listing.run,
    "batching": batching.run,
    "journal": journal.run,
}

app = App(name="benchmarks", help="Measure ours beside what a user would write and the limit.")


@app.default
async def measure(*names: str, markdown: bool = False) -> None:
    """Run all benchmarks, or those named; print their tables, as Markdown where wanted."""
    if unknown := set(names) - set(BENCHMARKS):
        sys.exit(f"no benchmark {unknown.pop()!r}; there are: {', '.join(BENCHMARKS)}")
    console = Console()
    for name in names or BENCHMARKS:
        async for table in BENCHMARKS[name]():
            if markdown:
                print(table.in_markdown())
            else:
                console.print(table.on_terminal())


# The processes that are measured import this module as well.
if __name__ == "__main__":
    anyio.run(app.run_async)
