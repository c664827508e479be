"""The courses and failures of a `Summary`, prepared for the page's template and script."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec
from attrs import frozen
from markupsafe import Markup

from async_enroll.models import Outcome
from async_enroll.reports.html.words import brief
from async_enroll.reports.summary import Reason, Summary, failed
from async_enroll.reports.words import name_of, title_of

MOST_COURSES = 1000
_ROWS = 1000
_MOST_ROWS = 100
_FEWEST_ROWS = 5
_LEAST_PERCENT = 0.7


@frozen
class Segment:
    """One outcome's part of a bar: `left` and `width` in percent."""

    outcome: Outcome
    left: float
    width: float


@frozen
class Bar:
    """A stacked bar of outcomes; `words` is its text alternative."""

    segments: list[Segment]
    words: str


@frozen
class CourseRow:
    """A row of the course table. `key` is None for the row that combines the last courses."""

    key: str | None
    pairs: int
    failed: int
    bar: Bar


@frozen
class Group:
    """The failures of one reason. `rows` are those that the page shows without its script.

    `errors`: whether the errors differ, so that each row shows its own.
    """

    outcome: Outcome | None
    words: str
    count: int
    kept: int
    errors: bool
    rows: list[tuple[str, str, str]]


def bar(counts: Mapping[Outcome, int]) -> Bar:
    """The bar for counts, in the order of `Outcome`. Even the smallest part is visible."""
    present = [outcome for outcome in Outcome if counts.get(outcome)]
    total = sum(counts.values())
    widths = [max(100 * counts[outcome] / total, _LEAST_PERCENT) for outcome in present]
    segments, left = [], 0.0
    for outcome, width in zip(present, widths, strict=True):
        part = 100 * width / sum(widths)
        segments.append(Segment(outcome, left, part))
        left += part
    words = ", ".join(f"{counts[outcome]:,} {name_of(outcome)}" for outcome in present)
    return Bar(segments, words)


def courses(summary: Summary) -> Iterator[CourseRow]:
    """The courses, most failures first; those beyond `MOST_COURSES` in one row."""
    found = sorted(
        ((key, counts.total(), failed(counts)) for key, counts in summary.courses.items()),
        key=lambda row: (-row[2], -row[1], row[0]),
    )
    for key, pairs, failures in found[:MOST_COURSES]:
        yield CourseRow(brief(key), pairs, failures, bar(summary.courses[key]))
    if rest := found[MOST_COURSES:]:
        others = Summary()
        for key, *_ in rest:
            others.courses[key] = summary.courses[key]
        yield CourseRow(None, others.pairs, others.failed, bar(others.counts))


def groups(reasons: list[Reason]) -> list[Group]:
    """The failures by reason, each with the rows that the page shows without its script."""
    shown = max(_FEWEST_ROWS, min(_MOST_ROWS, _ROWS // max(len(reasons), 1)))
    return [
        Group(
            reason.outcome,
            brief(reason.words),
            reason.count,
            kept=len(reason.failures),
            errors=any(result.error != reason.words for result in reason.failures),
            rows=list(_rows(reason, shown)),
        )
        for reason in reasons
    ]


def island(reasons: list[Reason]) -> Markup:
    """All failures that the summary kept, as JSON for the page's script.

    `texts` has each course and error once. `groups` has a list per reason: each item is an
    identifier, then its course and its error as indexes into `texts`.
    """
    texts: dict[str, int] = {}
    rows = [
        [
            (identifier, *(texts.setdefault(text, len(texts)) for text in others))
            for identifier, *others in _rows(reason)
        ]
        for reason in reasons
    ]
    data = msgspec.json.encode({"texts": list(texts), "groups": rows}).decode()
    # Only "<" could start the tag that ends the script element.
    return Markup(data.replace("<", "\\u003c"))  # noqa: S704


def _rows(reason: Reason, most: int | None = None) -> Iterator[tuple[str, str, str]]:
    for result in reason.failures[:most]:
        words = result.error or ""
        if reason.outcome is None:
            words = f"{title_of(result.outcome)}: {words}"
        yield brief(result.identifier), brief(result.course_id), brief(words)
