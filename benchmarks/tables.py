"""What a benchmark shows: ours, theirs and the limit side by side, on a terminal or as Markdown."""

from __future__ import annotations

import rich.box
import rich.table
from attrs import field, frozen


@frozen
class Table:
    """Figures side by side: a row for each contender, named in its first cell."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(factory=list)

    def add(self, name: str, *cells: str) -> None:
        """Add a contender and its figures."""
        self.rows.append((name, *cells))

    def on_terminal(self) -> rich.table.Table:
        """The table as rich draws it."""
        table = rich.table.Table(
            title=self.title, title_justify="left", title_style="bold", box=rich.box.SIMPLE_HEAD
        )
        for number, column in enumerate(self.columns):
            table.add_column(column, justify="right" if number else "left", no_wrap=not number)
        for row in self.rows:
            table.add_row(*row)
        return table

    def in_markdown(self) -> str:
        """The table as a README has it."""
        rule = ("---", *("---:" for _ in self.columns[1:]))
        lines = (f"| {' | '.join(row)} |" for row in (self.columns, rule, *self.rows))
        return "\n".join([f"**{self.title}**", "", *lines, ""])


@frozen
class Bar:
    """What a figure is to reach: `most`, or at least `least`."""

    most: float | None = None
    least: float | None = None

    def judge(self, figure: float) -> str:
        """The bar in words, and whether `figure` is on the right side of it."""
        if self.most is not None:
            return f"at most {self.most:g}: {_met(figure <= self.most)}"
        if self.least is not None:
            return f"at least {self.least:g}: {_met(figure >= self.least)}"
        return ""


def _met(met: bool) -> str:
    return "met" if met else "NOT MET"
