"""How the platform's database compares text."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_enroll.sandbox.storage.collation import fold


@pytest.mark.parametrize(("one", "other"), [("Zoë", "zoe"), ("JANE", "jane"), ("É", "e\u0301")])
def test_case_and_accents_do_not_count(one: str, other: str) -> None:
    assert fold(one) == fold(other)


@pytest.mark.parametrize(("one", "other"), [("jane", "jane "), ("a.b", "ab"), ("o", "ø")])
def test_all_else_does(one: str, other: str) -> None:
    assert fold(one) != fold(other)


@given(st.text())
def test_forms_of_the_same_text_are_equal(text: str) -> None:
    assert fold(unicodedata.normalize("NFC", text)) == fold(text)
    assert fold(unicodedata.normalize("NFD", text)) == fold(text)
