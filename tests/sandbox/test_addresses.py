"""The address check against Django's."""

import pytest
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from hypothesis import example, given, settings
from hypothesis import strategies as st

from async_enroll.sandbox.domain.addresses import is_plausible_address


def accepted_by_django(text: str) -> bool:
    try:
        validate_email(text)
    except ValidationError:
        return False
    return True


# What the rules turn on; \u212a and \u017f are letters to a pattern that ignores case.
PARTS = (
    *'aZ09.-_+@"\\[]:% \n\t\x00',
    *"é漢\u00a0\u00a1\u212a\u017f\uffff\U0001f600",
    *("com", "xn--", "localhost", "127.0.0.1", "::1", "fe80::1", "1.2.3.256", "01.2.3.4"),
    *("a" * 61, "a" * 63, "a" * 64, "a." * 100),
)
fragments = st.lists(st.sampled_from(PARTS), max_size=9).map("".join)
near_misses = st.one_of(
    fragments,
    st.builds("{}@{}".format, fragments, fragments),
    st.builds("{}@{}.{}".format, fragments, fragments, fragments),
    st.builds("a@[{}]".format, fragments),
    st.builds("a@{}".format, st.lists(st.sampled_from("ab-1é"), max_size=8).map(".".join)),
    st.builds("a@b.{}".format, fragments),
    st.builds('"{}"@b.com'.format, st.text(max_size=5)),
    st.builds("{}@{}.com".format, st.text(max_size=4), st.text(max_size=4)),
)


@given(near_misses | st.emails() | st.text())
@settings(max_examples=1000, deadline=None)
@example("a@" + "b." * 157 + "comm")
@example("a@" + "b." * 157 + "commm")
@example("a@b." + "c" * 63)
@example("a@b." + "c" * 64)
@example("a@" + "b" * 63 + ".com")
@example("a@" + "b" * 64 + ".com")
def test_agrees_with_django(text: str) -> None:
    assert is_plausible_address(text) == accepted_by_django(text)


@pytest.mark.parametrize("text", ["preflight@", "learner", "", "@example.org", "a b@example.org"])
def test_implausible(text: str) -> None:
    assert not is_plausible_address(text)


@pytest.mark.parametrize("text", ["jane+mooc@example.org", "root@localhost", "a@[127.0.0.1]"])
def test_plausible(text: str) -> None:
    assert is_plausible_address(text)
