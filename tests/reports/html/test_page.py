"""The page in a real browser: what a reader sees and does, and what a hostile name cannot do."""

import io
import json
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from async_enroll import Action, EnrollmentResult, Outcome
from async_enroll.reports.html import write_page
from async_enroll.reports.summary import MOST_FAILURES, Summary
from async_enroll.reports.timeline import Timeline
from tests.blocks import block_of
from tests.browser import Browser, chromium
from tests.reports.html.example import START, Job

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    "<!--<script>",
    '"><img src=x onerror=alert(3)>',
    "' onmouseover='alert(4)",
    "{{ 7 * 7 }} {% raw %}",
    "&lt;b&gt;",
    "javascript:alert(5)",
    "]]></style><style>*{display:none}",
    "\u202egro.elpmaxe@enaj",
    "a\u200bb\x00\u2028\ud800",
]
# As they are to be seen.
LITERAL = [*HOSTILE[:-2], "\\u202egro.elpmaxe@enaj", "a\\u200bb\\x00\\u2028\\ud800"]


@pytest.fixture(scope="module")
def driver() -> Iterator[webdriver.Chrome]:
    with chromium() as driver:
        yield driver


@pytest.fixture
def browser(driver: webdriver.Chrome) -> Iterator[Browser]:
    browser = Browser(driver)
    yield browser
    assert browser.complaints() == []


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "example.html"
    Job().write(path)
    return path


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "large.html"
    Job(courses=500, pairs=40_000, failures=10_000).write(path)
    return path


def page(summary: Summary, **more: Any) -> str:
    file = io.StringIO()
    write_page(file, summary, **{"title": "A job", **more})
    return file.getvalue()


def summary_of(results: Iterable[EnrollmentResult]) -> Summary:
    return Summary.of(map(block_of, results))


def failing(identifier: str, error: str = "because", course_id: str = "c1") -> EnrollmentResult:
    return EnrollmentResult(identifier, course_id, Action.ENROLL, Outcome.REJECTED, error=error)


def test_the_account_is_told(browser: Browser, example: Path) -> None:
    browser.open(example)
    assert browser.find("h1").text == "Autumn term 2026"
    assert browser.find("#headline").text.endswith("4,960 of 5,000 enrollments are as requested")
    figures = dict(text.split("\n") for text in browser.texts(".figures div"))
    assert figures.pop("Waiting for registration or activation").isdecimal()
    assert re.fullmatch(r"5 min \d+ s", figures.pop("Duration"))
    assert figures == {
        "Enrollments": "5,000",
        "As requested": "4,960",
        "Failed": "40",
        "Courses": "30",
    }
    # Times are the reader's, and the page's own stay at hand.
    started = browser.find("header time")
    assert re.match(r"Oct \d+, 2026, ", started.text)
    assert started.get_attribute("title") == "2026-10-20 09:00:00 UTC"


def test_courses_are_sorted(browser: Browser, example: Path) -> None:
    def failures() -> list[int]:
        return [int(text) for text in browser.texts("#course-table tbody td:last-child")]

    def headers() -> list[str | None]:
        return [
            header.get_attribute("aria-sort") for header in browser.seen("#course-table thead th")
        ]

    browser.open(example)
    assert headers() == [None, None, "descending"]
    assert failures() == sorted(failures(), reverse=True)
    by_key, by_pairs, by_failures = browser.seen("#course-table thead button")

    by_key.click()
    assert headers() == ["ascending", None, None]
    keys = browser.texts("#course-table tbody th")
    assert keys == sorted(keys)
    by_key.send_keys(Keys.ENTER)  # by keyboard as well
    assert headers() == ["descending", None, None]
    assert browser.texts("#course-table tbody th") > keys

    by_pairs.click()
    pairs = [int(text.replace(",", "")) for text in browser.texts("#course-table td:nth-child(2)")]
    assert pairs == sorted(pairs, reverse=True)
    by_failures.click()
    by_failures.click()
    assert headers() == [None, None, "ascending"]
    assert failures() == sorted(failures())


def test_few_courses_are_shown_until_more_are_wanted(browser: Browser, example: Path) -> None:
    browser.open(example)
    rows, more = "#course-table tbody tr", browser.find("#course-more button")
    assert len(browser.texts(rows)) == 25
    assert more.text == "Show all 30 courses"
    more.click()
    assert len(browser.texts(rows)) == 30
    more.click()
    assert len(browser.texts(rows)) == 25

    browser.find("#course-filter").send_keys("music")
    browser.until(lambda: browser.find("#course-found").text != "")
    found = browser.texts("#course-table tbody th")
    assert found
    assert all("Music" in text for text in found)
    assert browser.find("#course-found").text == f"{len(found)} of 30 courses"
    assert not more.is_displayed()


def test_failures_open_and_are_found(browser: Browser, large: Path) -> None:
    browser.open(large)
    rows = "details.reason tbody tr"
    assert browser.texts(rows) == []
    first = browser.find("details.reason")
    count = int(first.find_element(By.CSS_SELECTOR, ".count").text.replace(",", ""))
    first.find_element(By.TAG_NAME, "summary").send_keys(Keys.ENTER)
    assert len(browser.texts(rows)) == 100
    more = first.find_element(By.CSS_SELECTOR, ".more button")
    assert more.text == f"Show 100 more of {count - 100:,}"
    more.click()
    assert len(browser.texts(rows)) == 200

    # Beyond what stands in the page: the last of all that were kept.
    last = browser.run("return JSON.parse(document.getElementById('failure-data').textContent)")
    identifier = last["groups"][-1][-1][0]
    field = browser.find("#failure-filter")
    field.send_keys(identifier.upper())
    browser.until(lambda: browser.find("#failure-found").text == f"1 of {MOST_FAILURES:,}")
    (row,) = browser.texts(rows)
    assert row.startswith(identifier)

    field.send_keys("nobody")
    browser.until(lambda: browser.find("#failure-found").text.startswith("0 of"))
    assert browser.texts("details.reason") == []

    field.send_keys(Keys.CONTROL, "a", Keys.DELETE)
    browser.until(lambda: browser.find("#failure-found").text == "")
    assert len(browser.texts("details.reason summary")) == 4
    assert browser.texts(rows) == []


def test_a_reason_is_found_by_its_words(browser: Browser, example: Path) -> None:
    browser.open(example)
    browser.find("#failure-filter").send_keys("does not exist")
    browser.until(lambda: browser.find("#failure-found").text == "13 of 40")
    assert len(browser.texts("details.reason")) == 1


def test_a_large_page_opens_at_once(browser: Browser, large: Path) -> None:
    assert large.stat().st_size < 3_000_000
    started = time.perf_counter()
    browser.open(large)
    browser.run("return document.body.offsetHeight")
    assert time.perf_counter() - started < 5  # a fifth of a second on a quiet machine
    assert len(browser.texts("#course-table tbody tr")) == 25


@pytest.mark.parametrize("width", [360, 1280])
def test_hostile_names_are_shown_and_do_nothing(
    width: int, browser: Browser, tmp_path: Path
) -> None:
    path = tmp_path / "hostile.html"
    summary = summary_of(
        failing(f"{who}{number}", error, where)
        for number, who in enumerate(HOSTILE)
        for where, error in zip(HOSTILE, reversed(HOSTILE), strict=True)
    )
    settings = [(text, text) for text in HOSTILE]
    path.write_text(page(summary, title=HOSTILE[1], settings=settings, notes=HOSTILE), "utf-8")
    browser.open(path, width=width)
    browser.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    browser.find("#failure-filter").send_keys("alert")
    browser.until(lambda: browser.find("#failure-found").text != "")

    assert browser.driver.title == LITERAL[1]
    assert browser.find("h1").text == LITERAL[1]
    assert browser.texts(".note") == LITERAL
    assert browser.texts(".settings dd") == LITERAL
    assert set(browser.texts("#course-table tbody bdi")) == set(LITERAL)
    shown = browser.texts("details.reason tbody td:first-child")
    assert {f"{who}{number}" for number, who in enumerate(LITERAL)} >= set(shown) != set()
    assert browser.run("return document.querySelectorAll('img, b > *, main script').length") == 0
    # An alert would have made every step above fail.
    assert browser.run("return document.documentElement.scrollWidth <= innerWidth")


def test_nothing_is_loaded_from_anywhere(browser: Browser, example: Path) -> None:
    browser.open(example)
    assert browser.run("return performance.getEntriesByType('resource').length") == 0
    # Nor can it be: the page's own policy forbids it.
    browser.run("document.body.append(Object.assign(new Image(), {src: 'https://example.org/x'}))")
    browser.run("document.body.insertAdjacentHTML('beforeend', '<p style=\"color: red\">')")
    browser.run(
        "const script = document.createElement('script');"
        "script.text = 'window.ran = 1';"
        "document.body.append(script)"
    )
    assert browser.run("return window.ran") is None
    complaints = browser.complaints()
    for directive in ("default-src", "style-src", "script-src"):
        assert any("Content Security Policy" in text and directive in text for text in complaints)


def test_a_phone_needs_no_scrolling_sideways(browser: Browser, example: Path, large: Path) -> None:
    for path in (example, large):
        browser.open(path, width=360)
        browser.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert browser.run("return document.documentElement.scrollWidth") == 360


# Boxes of the lines of all text, and which of them cover one another.
_OVERLAPS = """
const boxes = [];
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
  const node = texts.currentNode;
  if (!node.data.trim() || !node.parentElement.checkVisibility()) continue;
  if (node.parentElement.closest("script, style, title")) continue;
  const range = document.createRange();
  range.selectNodeContents(node);
  for (const box of range.getClientRects()) boxes.push({ box, text: node.data.trim() });
}
const found = [];
for (const [index, one] of boxes.entries()) {
  for (const other of boxes.slice(index + 1)) {
    const [a, b] = [one.box, other.box];
    const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (across > 1 && down > 4) found.push(`${one.text} / ${other.text}`);
  }
}
return [boxes.length, found];
"""


@pytest.mark.parametrize("width", [390, 1440])
def test_nothing_overlaps(browser: Browser, example: Path, tmp_path: Path, width: int) -> None:
    busy, short = tmp_path / "busy.html", tmp_path / "short.html"
    Job(courses=3, pairs=2_345_678 // 400, failures=300, seconds=90_000.0).write(busy)
    Job(courses=2, pairs=60, failures=6, seconds=3.0, title="x" * 200).write(short)
    for path in (example, busy, short):
        browser.open(path, width=width)
        browser.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        count, overlaps = browser.run(_OVERLAPS)
        assert count > 100
        assert overlaps == []
        assert browser.run("return document.documentElement.scrollWidth") <= width


def test_the_times_agree_with_the_duration(browser: Browser, tmp_path: Path) -> None:
    timeline = Timeline()
    timeline.resume(START + 0.9)  # rounded apart, they would be a second off
    timeline.add(START + 100.4, 1)
    path = tmp_path / "page.html"
    path.write_text(page(summary_of([failing("jane")]), timeline=timeline))
    browser.open(path)
    told = [one.get_attribute("title") for one in browser.seen("header time")]
    assert told == ["2026-10-20 09:00:00 UTC", "2026-10-20 09:01:40 UTC"]
    assert "1 min 40 s" in browser.find(".figures").text


def test_words_are_not_broken_in_headings(browser: Browser, example: Path) -> None:
    for width in (390, 1440):
        browser.open(example, width=width)
        script = """
        const heading = document.querySelector('.courses th.number');
        const range = document.createRange();
        range.selectNodeContents(heading.querySelector('button').firstChild);
        return range.getClientRects().length;
        """
        assert browser.run(script) == 1


def test_light_and_dark(browser: Browser, example: Path) -> None:
    script = "const s = getComputedStyle(document.body); return [s.backgroundColor, s.color]"
    browser.open(example)
    light = browser.run(script)
    browser.open(example, dark=True)
    dark = browser.run(script)
    assert light == ["rgb(255, 255, 255)", "rgb(28, 34, 37)"]
    assert dark == ["rgb(21, 25, 27)", "rgb(228, 232, 232)"]


def test_it_is_whole_without_script(browser: Browser, large: Path) -> None:
    browser.without_script(disabled=True)
    try:
        browser.open(large)
        # Without scripts, chromedriver does not wait for the page to be whole.
        browser.until(lambda: len(browser.texts("#course-table tbody tr")) == 500)
        assert browser.texts("button, input") == []
        browser.find("details.reason summary").click()
        assert len(browser.texts("details.reason tbody tr")) == 100
        assert "With JavaScript, the page shows" in browser.find(".rest").text
    finally:
        browser.without_script(disabled=False)


def test_it_has_words_for_what_is_drawn(browser: Browser, example: Path) -> None:
    browser.open(example)
    for picture in browser.seen("svg[role=img]"):
        assert re.search(r"\d", picture.accessible_name)
    levels = browser.run(
        "return [...document.querySelectorAll('h1, h2, h3')].map((one) => one.tagName)"
    )
    assert levels[0] == "H1"
    assert set(levels[1:]) == {"H2"}
    assert browser.find("#failure-filter").accessible_name == "Search learners, courses, errors"
    browser.find("#time ~ details summary").click()
    assert "the platform did not answer" in browser.find("#time ~ details").text


def test_all_is_well(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "good.html"
    Job(failures=0).write(path)
    browser.open(path)
    assert browser.find("#headline").text.endswith("All 5,000 enrollments are as requested")
    assert browser.seen("#failures") == []


def test_there_was_nothing_to_do(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "empty.html"
    path.write_text(page(Summary()), "utf-8")
    browser.open(path)
    assert browser.find("#headline").text == "No enrollments were requested"
    assert browser.texts("section > h2") == ["No enrollments were requested", "Outcomes"]


def test_what_is_pending_is_no_success() -> None:
    enrolled = EnrollmentResult("jane", "c1", Action.ENROLL, Outcome.ENROLLED, notified=None)
    text = page(summary_of([enrolled]), pending=2)
    assert "1 of 3 enrollments are as requested" in text
    assert "<dt>Pending</dt><dd>2</dd>" in text
    assert "<dt>May not have been notified</dt><dd>1</dd>" in text
    assert "The one enrollment is as requested" in page(summary_of([enrolled]))


def test_what_is_not_kept_is_said() -> None:
    text = page(summary_of(failing(f"learner{number}") for number in range(MOST_FAILURES + 5)))
    assert "This page lists 10,000 of 10,005" in text
    data = re.search(r'id="failure-data">(.*)</script>', text)
    assert data
    assert len(json.loads(data[1])["groups"][0]) == MOST_FAILURES


def test_thousands_of_courses_stand_together_below_the_worst() -> None:
    results = [failing(f"learner{n}", course_id=f"c{n}") for n in range(10)]
    results += [
        EnrollmentResult("jane", f"c{n}", Action.ENROLL, Outcome.ENROLLED) for n in range(3000)
    ]
    text = page(summary_of(results))
    assert text.count('<th scope="row"><bdi>c') == 1000
    assert "The other 2,000 courses" in text
    assert len(text) < 1_000_000


def test_an_error_that_differs_stands_by_its_learner() -> None:
    text = page(
        summary_of([failing("jane", "jane is late", "c1"), failing("joe", "joe is late", "c2")])
    )
    assert "[identifier] is late" in text
    assert "<td><bdi>joe is late</bdi></td>" in text


def test_nothing_is_so_long_that_it_drowns_the_rest() -> None:
    size = len(page(summary_of([failing("a", "b", "c")])))
    flood = failing("a" * 1_000_000, "b" * 1_000_000, "c" * 1_000_000)
    assert len(page(summary_of([flood]))) < size + 5_000


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_can_be_told_from_their_ground(scheme: str) -> None:
    """WCAG 2.2, AA: 4.5 to 1 for words, 3 to 1 for what is drawn."""
    blocks = re.findall(r":root \{(.*?)\}", page(Summary()), re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#\w{6})", blocks[scheme == "dark"]))
    for ground in ("paper", "raised", "good-ground", "bad-ground"):
        for words in ("ink", "faint", "accent", "good", "bad"):
            assert contrast(colours[words], colours[ground]) >= 4.5, (words, ground)
    for outcome in Outcome:
        assert contrast(colours[outcome.value], colours["paper"]) >= 3, outcome
