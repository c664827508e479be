"""The course-key check against Open edX's."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from opaque_keys import InvalidKeyError
from opaque_keys.edx.keys import CourseKey

from async_enroll.sandbox.domain.course_keys import is_course_key


def accepted_by_open_edx(text: str) -> bool:
    try:
        CourseKey.from_string(text)
    except InvalidKeyError:
        return False
    return True


PARTS = (
    *"+/:@~.-_% \n",
    *("Org", "1x", "é", "2026", "\u212a"),
    *("course-v1", "course-v1:", "library-v1:", "slashes:", "lib:", "block-v1:"),
    *("branch@", "version@", "type@", "block@", "519665f6223ebd6980884f2b", "abc"),
)
fragments = st.lists(st.sampled_from(PARTS), max_size=8).map("".join)
names = st.lists(st.sampled_from(["Org", "1.x", "é", "a:b", "a~b", "a%b", "", " "]), max_size=5)
qualifiers = st.lists(
    st.sampled_from(
        [
            *("branch@draft", "version@519665f6223ebd6980884f2b", "version@abc", "version@"),
            *("type@problem", "block@a%b", "block@", "other@a", "branch@a%b"),
        ]
    ),
    max_size=4,
)
namespaces = st.sampled_from(["course-v1", "library-v1", "slashes", "lib", "block-v1", ""])
near_misses = st.one_of(
    fragments,
    st.builds("course-v1:{}".format, fragments),
    st.builds(
        lambda namespace, a, b: f"{namespace}:{'+'.join(a + b)}", namespaces, names, qualifiers
    ),
    names.map("/".join),
)


@given(near_misses | st.text())
@settings(max_examples=1000, deadline=None)
@example("course-v1:version@abc")
@example("course-v1:Org+version@519665f6223ebd6980884f2b")
@example("library-v1:Org+Library+Run")
def test_agrees_with_open_edx(text: str) -> None:
    assert is_course_key(text) == accepted_by_open_edx(text)


@pytest.mark.parametrize(
    "text",
    [
        "course-v1:Demo+C001+2026",
        "Org/Course/Run",
        "Org/Course/",
        "ccx-v1:Org+C1+2026+ccx@1",
        "ccx-v1:Org+C1+2026+branch@draft+ccx@12+type@html+block@x",
        "ccx-v1:version@519665f6223ebd6980884f2b+ccx@1",
    ],
)
def test_well_formed(text: str) -> None:
    assert is_course_key(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "course-v1:Demo+C001",
        " course-v1:Demo+C001+2026",
        "course-v1:Demo C001 2026",
        "ccx-v1:Org+C1+2026",
        "ccx-v1:Org+C1+2026+ccx@x",
        "ccx-v1:Org+C1+2026+ccx@1+branch@draft",
        "course-v1:Org+C1+2026+ccx@1",
        "i4x://Org/Course/2026",
    ],
)
def test_malformed(text: str) -> None:
    assert not is_course_key(text)
