"""Run all benchmarks, or those named as arguments: ``python -m benchmarks window``."""

import sys

import anyio

from benchmarks import batching, importing, journal, listing, window

BENCHMARKS = {
    "window": window.run,
    "listing": listing.run,
    "batching": batching.run,
    "journal": journal.run,
    "importing": importing.run,
}

for name in sys.argv[1:] or BENCHMARKS:
    if name not in BENCHMARKS:
        sys.exit(f"no benchmark {name!r}; there are: {', '.join(BENCHMARKS)}")
    anyio.run(BENCHMARKS[name])
