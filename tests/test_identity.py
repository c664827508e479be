"""Who is meant."""

from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_enroll.models import identity_key


@pytest.mark.parametrize(
    ("one", "other"),
    [("Jane@Example.org", "jane@example.org"), ("Zo\u00eb", "ZOE\u0308"), ("\u212bsa", "åsa")],
)
def test_spellings_of_one_identifier(one: str, other: str) -> None:
    assert identity_key(one) == identity_key(other)


@pytest.mark.parametrize(("one", "other"), [("straße", "strasse"), ("zoë", "zoe")])
def test_names_that_only_look_alike(one: str, other: str) -> None:
    assert identity_key(one) != identity_key(other)


@given(st.text())
def test_normal_form_does_not_matter(identifier: str) -> None:
    assert identity_key(normalize("NFC", identifier)) == identity_key(identifier)
