"""The digest by which a journal knows the roster and the options of its job."""

from hypothesis import given
from hypothesis import strategies as st

from async_enroll import Action
from async_enroll.journal import digest_of
from async_enroll.models import identity_key
from async_enroll.planning.desired import Desired

WHO = ["Jane@Example.org", "ΣΑΣ", "Zoe\u0308", "\u0301x", "İ"]


def desired(*identifiers: str) -> Desired:
    found = Desired()
    for who in identifiers:
        found.add(who, "c1", Action.ENROLL)
    return found


def test_it_is_that_of_journals_written_before() -> None:
    digest = "d16430c1202fbcc69d89d29a932bfb2246203ae8ccb53728f50821d13505766a"
    roster = desired(*WHO)
    roster.add("ΣΑΣ", "c2", Action.UNENROLL)
    assert digest_of(roster, "https://x", True, False, None) == digest


@given(st.lists(st.text() | st.sampled_from(WHO), unique_by=identity_key, max_size=5))
def test_it_is_the_same_for_all_spellings(identifiers: list[str]) -> None:
    spelled_otherwise = map(identity_key, identifiers)
    assert digest_of(desired(*identifiers)) == digest_of(desired(*spelled_otherwise))
