"""The bodies of bulk calls: JSON and forms."""

import codecs
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_enroll.sandbox.http.answers import Refusal
from async_enroll.sandbox.http.form import Form, read_body

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


def test_of_a_name_the_last_value_counts_and_lists_have_all() -> None:
    form = read_body(b"a=1&b=%2B&a=2&c=", FORM)
    assert isinstance(form, Form)
    assert dict(form) == {"a": "2", "b": "+", "c": ""}
    assert (form.list("a"), form.list("d"), len(form)) == (["1", "2"], [], 3)


values = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=8)


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "identifiers"]), values), max_size=5))
def test_a_form_in_parts(fields: list[tuple[str, str]]) -> None:
    parts = [
        f'--edge\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields
    ]
    body = "".join(parts) + "--edge--\r\n"
    form = read_body(body.encode(), "multipart/form-data; boundary=edge")
    assert [(name, value) for name in form for value in form.list(name)] == sorted(
        fields, key=lambda field: list(form).index(field[0])
    )


@pytest.mark.parametrize(
    ("charset", "encoding"), [("utf-8", "utf-8"), ("latin-1", "latin-1"), ("unheard-of", "utf-8")]
)
def test_a_charset_is_heeded_where_it_is_known(charset: str, encoding: str) -> None:
    body = codecs.encode('{"action": "Zoë"}', encoding)
    assert read_body(body, f"{JSON}; charset={charset}") == {"action": "Zoë"}


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/xml", "nonsense"])
def test_an_empty_body_is_one_of_any_type(content_type: str) -> None:
    assert read_body(b"", content_type) == {}
    with pytest.raises(Refusal) as refusal:
        read_body(b"x", content_type)
    assert refusal.value.status == 415
    assert refusal.value.content["detail"].startswith(f'Unsupported media type "{content_type}"')


@pytest.mark.parametrize("body", [b"{", b"\xff", b'"\xe9"', b"[NaN]", b"[-Infinity]", b"{} {}"])
def test_no_json(body: bytes) -> None:
    with pytest.raises(Refusal) as refusal:
        read_body(body, JSON)
    assert refusal.value.status == 400
    content: Any = refusal.value.content
    assert content["detail"].startswith("JSON parse error - ")
