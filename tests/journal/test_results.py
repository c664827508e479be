"""Results come back from the journal as they went in."""

from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from async_enroll import Action, EnrollmentResult, EnrollmentState, Outcome
from async_enroll.journal.results import decode, encode, positions
from async_enroll.models import Batch
from async_enroll.results import Block
from tests.blocks import block_of

states = st.none() | st.builds(
    EnrollmentState,
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.none() | st.text(max_size=5),
)
details = st.tuples(
    st.sampled_from(Outcome),
    states,
    states,
    st.none() | st.text(max_size=5),
    st.none() | st.booleans(),
    st.integers(0, 9),
)


def in_blocks(batch: Batch, results: list[EnrollmentResult]) -> list[Block]:
    """As they come from calls: one block a course."""
    return [
        Block(course_id, batch.action, [one.identifier for one in some], details)
        for course_id in batch.courses
        if (some := [one for one in results if one.course_id == course_id])
        for details in [[detail for one in some for detail in block_of(one).details]]
    ]


@given(st.integers(1, 4), st.integers(1, 5), st.data())
def test_round_trip(courses: int, identifiers: int, data: st.DataObject) -> None:
    batch = Batch(
        data.draw(st.sampled_from(Action)),
        tuple(f"c{number}" for number in range(courses)),
        tuple(f"i{number}" for number in range(identifiers)),
    )
    pairs = [(who, key) for key in batch.courses for who in batch.identifiers]
    some = data.draw(st.lists(st.sampled_from(pairs), unique=True))
    alike = data.draw(st.lists(details, min_size=1, max_size=3))
    results = [
        EnrollmentResult(*pair, batch.action, *data.draw(st.sampled_from(alike))) for pair in some
    ]
    kept = encode(batch, in_blocks(batch, results))
    read = list(chain.from_iterable(decode(batch, kept)))
    assert sorted(read, key=repr) == sorted(results, key=repr)
    assert sorted(positions(kept)) == sorted(map(pairs.index, some))
