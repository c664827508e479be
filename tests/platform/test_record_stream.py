"""The four forms of the listing, in whatever pieces they arrive."""

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_enroll import Enrollment, UnexpectedResponse
from async_enroll.platform.json import Undated, decoded, undated
from async_enroll.platform.record_stream import LARGEST_RECORD, ListingReader

T = TypeVar("T")

RECORD = {
    "username": "jane",
    "email": "jane@example.org",
    "course_id": "course-v1:Org+C1+2026",
    "is_active": True,
    "mode": "audit",
    "created": "2021-03-09 20:15",
}
Form = Callable[[list[str]], str]
FORMS: dict[str, Form] = {
    "array": lambda records: "[" + ",".join(records) + "]",
    "spaced array": lambda records: " \n[ " + " ,\n ".join(records) + " \n]\n",
    "commas": lambda records: ", \n".join(records),
    "lines": lambda records: "\n".join(records),
    "crlf lines": lambda records: "".join(f"{record}\r\n" for record in records),
    "page": lambda records: (
        '{"count": 9, "next": null, "previous": null, "results": [' + ",".join(records) + "]}"
    ),
    "page, results first": lambda records: (
        '{"results" : [' + ",".join(records) + '], "next": null, "pages": {"a": {}}}\n'
    ),
    "page, much behind the results": lambda records: (
        '{"next": null, "results": [' + ",".join(records) + '], "facets": [' + "{}," * 40 + "{}]}"
    ),
    "page, pagination": lambda records: (
        '{"pagination": {"count": 9, "next": null}, "results": [' + ",".join(records) + "]}"
    ),
}


def read(body: bytes, *cuts: int) -> tuple[list[Enrollment], str | None]:
    return in_pieces(ListingReader(decoded), body, *cuts)


def in_pieces(reader: ListingReader[T], body: bytes, *cuts: int) -> tuple[list[T], str | None]:
    found: list[T] = []
    for start, end in pairwise([0, *sorted(cuts), len(body)]):
        found += reader.feed(body[start:end])
    return found, reader.close()


# Values that look like the structure around them, in keys that nobody knows.
tricky = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(list('}{][,"\\\n')),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
records = st.lists(
    st.builds(
        lambda username, more: {**more, **RECORD, "username": username},
        st.text(),
        st.dictionaries(st.text(min_size=1).filter(lambda key: key != "start"), tricky, max_size=3),
    ),
    max_size=6,
)


@pytest.mark.parametrize("form", FORMS)
@given(values=records, data=st.data())
def test_every_form_in_any_pieces(form: str, values: list[dict[str, Any]], data: Any) -> None:
    escaped = data.draw(st.booleans())
    texts = [json.dumps({"username": 0, **value}, ensure_ascii=escaped) for value in values]
    body = FORMS[form](texts).encode("utf-8", "surrogatepass")
    try:
        body.decode()
    except UnicodeDecodeError:
        return  # half a character: no JSON text
    cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=5))
    found, next_page = read(body, *cuts)
    assert [record.username for record in found] == [value["username"] for value in values]
    assert next_page is None
    without_dates, _ = in_pieces(ListingReader(undated), body, *cuts)
    assert list(map(fields, without_dates)) == list(map(fields, found))


def fields(record: Undated) -> tuple[str, str | None, str, bool, str]:
    return record.username, record.email, record.course_id, record.is_active, record.mode


def test_who_needs_no_dates_reads_none() -> None:
    body = json.dumps([{**RECORD, "created": "once upon a time"}]).encode()
    (record,), _ = in_pieces(ListingReader(undated), body)
    assert fields(record) == ("jane", "jane@example.org", RECORD["course_id"], True, "audit")
    with pytest.raises(UnexpectedResponse, match=r"records\[0\]\.created"):
        read(body)


@pytest.mark.parametrize("separator", [",", "\n"])
@pytest.mark.parametrize("bad", [{"mode": 1}, {"username": None}])
def test_without_dates_a_bad_record_is_named_all_the_same(
    separator: str, bad: dict[str, Any]
) -> None:
    body = separator.join(map(json.dumps, [RECORD, {**RECORD, **bad}])).encode()
    (name,) = bad
    with pytest.raises(UnexpectedResponse, match=rf"records\[1\]\.{name}"):
        in_pieces(ListingReader(undated), body)


@pytest.mark.parametrize("form", FORMS)
def test_one_byte_at_a_time(form: str) -> None:
    body = FORMS[form]([json.dumps({**RECORD, "more": {"a": [{}]}})] * 3).encode()
    found, _ = read(body, *range(1, len(body)))
    assert len(found) == 3


def test_records_are_given_before_the_body_has_ended() -> None:
    reader = ListingReader(decoded)
    assert len(reader.feed(b"[" + json.dumps(RECORD).encode() + b',{"user')) == 1


def test_an_empty_body_has_no_records() -> None:
    assert read(b"") == read(b" \n") == ([], None)


@pytest.mark.parametrize(
    "body",
    [
        b'{"count": 1, "next": "https://x/?page=2", "results": []}',
        b'{"results": [], "next": "https://x/?page=2"}',
        b'{"pagination": {"count": 1, "next": "https://x/?page=2", "num_pages": 2}, "results": []}',
        b'{"results": [], "pagination": {"next": "https://x/?page=2", "previous": null}}',
        b'{"next": null, "pagination": {"next": "https://x/?page=2"}, "results": []}',
    ],
)
def test_the_next_page_is_named(body: bytes) -> None:
    assert read(body) == ([], "https://x/?page=2")


@pytest.mark.parametrize("form", ["commas", "lines", "crlf lines"])
@pytest.mark.parametrize("number", [0, 1, 3])
def test_without_brackets_the_end_of_the_connection_is_not_the_end(form: str, number: int) -> None:
    reader = ListingReader(decoded)
    assert len(reader.feed(FORMS[form]([json.dumps(RECORD)] * number).encode())) == number
    with pytest.raises(UnexpectedResponse, match=f"after {number} records, .* cut short"):
        reader.close(framed=False)


@pytest.mark.parametrize("form", ["array", "spaced array", "page", "page, results first"])
def test_brackets_tell_the_end_of_a_listing(form: str) -> None:
    reader = ListingReader(decoded)
    assert len(reader.feed(FORMS[form]([json.dumps(RECORD)] * 3).encode())) == 3
    assert reader.close(framed=False) is None


@given(st.integers(0, 60), st.integers(0, 200))
def test_records_with_many_objects_inside(objects: int, cut: int) -> None:
    """A record that is cut behind many braces does not hold up those before it."""
    text = json.dumps({**RECORD, "more": [{}] * objects}).encode()
    reader = ListingReader(decoded)
    assert len(reader.feed(b"[" + text + b"," + text[: min(cut, len(text) - 1)])) == 1


@pytest.mark.parametrize("form", ["array", "spaced array", "page", "page, results first"])
def test_every_cut_of_a_bracketed_body_is_noticed(form: str) -> None:
    body = FORMS[form]([json.dumps(RECORD)] * 2).encode().rstrip()
    for length in range(1, len(body)):
        if body[:length].strip():
            with pytest.raises(UnexpectedResponse):
                read(body[:length])


@pytest.mark.parametrize("form", ["commas", "lines"])
def test_a_cut_inside_a_record_or_behind_a_comma_is_noticed(form: str) -> None:
    body = FORMS[form]([json.dumps(RECORD)] * 2).encode()
    for length in range(1, len(body)):
        if not body[:length].rstrip().endswith(b"}"):
            with pytest.raises(UnexpectedResponse, match="ends early"):
                read(body[:length])


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<!doctype html><p>Sign in</p>", "an HTML page"),
        (b"null", "found b'null'"),
        (b'{"detail": "fine"}', r"records\[0\].username: missing"),
        (b"[1, 2]", "ends early"),
        (b"[{}]", r"records\[0\].username: missing"),
        (b"[] []", "more data"),
        (b'{"next": 3, "results": []}', "next: expected an address"),
        (b'{"count": 3, "results": []}', "next: expected an address"),
        (b'{"results": [], "pagination": {"count": 3}}', "next: expected an address"),
        (b'{"results": [], "pagination": {"next": 2}}', "next: expected an address"),
        (b'{"results": [], "pagination": null}', "next: expected an address"),
        (b'{"count": 3}', "ends early"),
    ],
)
def test_what_is_no_listing(body: bytes, words: str) -> None:
    with pytest.raises(UnexpectedResponse, match=words):
        read(body)


def test_a_trailing_comma_in_an_array() -> None:
    with pytest.raises(UnexpectedResponse, match=r"records\[1\]"):
        read(b"[" + json.dumps(RECORD).encode() + b",]")


def test_a_record_without_end_is_given_up() -> None:
    reader = ListingReader(decoded)
    reader.feed(b'[{"username": "' + b"x" * (LARGEST_RECORD - 20))
    with pytest.raises(UnexpectedResponse, match="expected a record"):
        reader.feed(b"x" * 20)


@pytest.mark.parametrize("odd", [b"NaN", b'"\\ud800"', b'"\\x"'])
@pytest.mark.parametrize("after", [1, 4, 5, 9])
@pytest.mark.parametrize("brackets", [(b"[", b"]"), (b"", b"")])
def test_no_record_is_lost_beside_one_that_is_not_json(
    odd: bytes, after: int, brackets: tuple[bytes, bytes]
) -> None:
    record = json.dumps(RECORD).encode()
    listed = [record, record[:-1] + b', "more": %b}' % odd, *[record] * after]
    with pytest.raises(UnexpectedResponse, match=r"records\[1\]|after 1 records"):
        read(brackets[0] + b",".join(listed) + brackets[1])


@given(st.data())
def test_commas_and_lines_mixed(data: st.DataObject) -> None:
    separators = st.sampled_from([b",", b"\n", b" ,\n", b",\r\n", b"\r\n\n"])
    body = record = json.dumps({**RECORD, "more": [{"a": "},\n{"}]}, indent=1).encode()
    between = data.draw(st.lists(separators, max_size=8))
    for separator in between:
        body += separator + record
    found, _ = read(body, *data.draw(st.lists(st.integers(0, len(body)), max_size=3)))
    assert len(found) == len(between) + 1


@pytest.mark.parametrize("form", ["array", "commas", "lines", "page"])
def test_a_record_that_does_not_fit_is_named(form: str) -> None:
    records = [json.dumps(RECORD)] * 9 + [json.dumps({**RECORD, "created": "soon"})]
    with pytest.raises(UnexpectedResponse, match=r"records\[9\].created: expected a date"):
        read(FORMS[form](records).encode())


def test_a_later_page_goes_on_counting() -> None:
    reader = ListingReader(decoded, start=100)
    with pytest.raises(UnexpectedResponse, match=r"records\[100\].username"):
        reader.feed(b"[{}]")
