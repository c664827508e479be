"""The report as an HTML page: one self-contained file that loads nothing.

Takes a `Summary` and a `Timeline`; `rows` and `chart` prepare them for the template.
Identifiers, course keys and the platform's messages are untrusted: the template escapes
them, `words.visible` escapes invisible characters, and the page's Content-Security-Policy
allows its own script only, and no requests.
"""

from __future__ import annotations

import base64
import hashlib
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import IO

from attrs import frozen
from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from async_enroll.models import Outcome
from async_enroll.reports.html import chart, rows
from async_enroll.reports.html.words import duration, share, visible
from async_enroll.reports.summary import Summary
from async_enroll.reports.timeline import Timeline
from async_enroll.reports.words import OUTCOMES, title_of

# Colour alone must not carry meaning: each of these has a hatching of its own.
_PATTERNS = {
    "lines-allowed": "M1 0V6M4 0V6",
    "lines-withdrawn": "M0 3H6",
    "lines-invalid_identifier": "M1.5 0V3M4.5 3V6",
    "lines-error": "M-1 1L1 -1M0 6L6 0M5 7L7 5",
    "lines-rejected": "M-1 5L1 7M0 0L6 6M5 -1L7 1",
    "lines-unconfirmed": "M0 0L6 6M0 6L6 0",
    "lines-outage": "M-1 1L1 -1M0 6L6 0M5 7L7 5",
}


@frozen
class _OutcomeRow:
    value: str
    name: str
    description: str
    ok: bool
    count: int
    share: str


@frozen
class _Moment:
    machine: str
    people: str


@frozen
class _Span:
    """When the job ran, in seconds since the epoch, and for how many seconds of that it worked."""

    started: float
    ended: float
    worked: float


def write_page(
    file: IO[str],
    summary: Summary,
    *,
    title: str,
    settings: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    timeline: Timeline | None = None,
    notes: Sequence[str] = (),
    pending: int = 0,
) -> None:
    """Write the report page of a job to `file`.

    `settings` are names and values to list, `notes` sentences to show first. `pending` is
    the number of pairs without a result yet. The page's script shows times in the reader's
    time zone; without it they are in UTC.
    """
    reasons = summary.reasons
    pairs = settings.items() if isinstance(settings, Mapping) else settings
    file.writelines(
        _template().generate(
            title=visible(title),
            notes=[visible(note) for note in notes],
            settings=[(visible(name), visible(value)) for name, value in pairs],
            summary=summary,
            ok=summary.ok and not pending,
            whole=summary.pairs + pending,
            pending=pending,
            waiting=summary.counts[Outcome.ALLOWED],
            span=_span(summary, timeline),
            bar=rows.bar(summary.counts),
            outcomes=_outcomes(summary),
            names={outcome: title_of(outcome) for outcome in OUTCOMES},
            groups=rows.groups(reasons),
            kept=sum(len(reason.failures) for reason in reasons),
            courses=list(rows.courses(summary)),
            chart=timeline and chart.draw(timeline),
            holds=chart.HOLDS,
            island=rows.island(reasons),
            written=time.time(),
        )
    )


def _span(summary: Summary, timeline: Timeline | None) -> _Span | None:
    if timeline and timeline.buckets and timeline.started is not None:
        started, worked = timeline.started, timeline.worked
        away = sum(interruption.seconds for interruption in timeline.interruptions)
    elif summary.started is not None and summary.ended is not None:
        started, worked, away = summary.started, summary.ended - summary.started, 0.0
    else:
        return None
    # Times are shown to the second: rounded apart, they would not agree with the duration.
    return _Span(math.floor(started), math.floor(started) + round(worked + away), worked)


def _outcomes(summary: Summary) -> list[_OutcomeRow]:
    counts, pairs = summary.counts, summary.pairs
    return [
        _OutcomeRow(
            outcome.value,
            title_of(outcome),
            OUTCOMES[outcome][1],
            outcome.ok,
            counts.get(outcome, 0),
            share(counts.get(outcome, 0), pairs),
        )
        for outcome in Outcome
    ]


@cache
def _template() -> Template:
    style, script = _text("page.css"), _text("page.js")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"duration": duration, "moment": _moment}
    # Trusted, and not to be escaped: the policy allows them by their hashes.
    environment.globals |= {
        "style": Markup(style),  # noqa: S704
        "script": Markup(script),  # noqa: S704
        "policy": Markup(  # noqa: S704
            "default-src 'none'; base-uri 'none'; form-action 'none'; "
            f"style-src '{_hash(style)}'; script-src '{_hash(script)}'"
        ),
        "patterns": _PATTERNS,
    }
    return environment.from_string(_text("page.html.j2"))


def _text(name: str) -> str:
    return files(__name__).joinpath(name).read_text("utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _moment(seconds: float) -> _Moment:
    moment = datetime.fromtimestamp(seconds, UTC)
    return _Moment(f"{moment:%Y-%m-%dT%H:%M:%SZ}", f"{moment:%Y-%m-%d %H:%M:%S} UTC")
