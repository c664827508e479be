"""Results come back from the journal as they went in."""

from hypothesis import given
from hypothesis import strategies as st

from async_enroll import Action, EnrollmentResult, EnrollmentState, Outcome
from async_enroll.journal.results import decode, encode, positions
from async_enroll.models import Batch

states = st.none() | st.builds(
    EnrollmentState,
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.none() | st.text(max_size=5),
)
fates = st.tuples(
    st.sampled_from(Outcome),
    states,
    states,
    st.none() | st.text(max_size=5),
    st.none() | st.booleans(),
    st.integers(0, 9),
)


@given(st.integers(1, 4), st.integers(1, 5), st.data())
def test_round_trip(courses: int, identifiers: int, data: st.DataObject) -> None:
    batch = Batch(
        data.draw(st.sampled_from(Action)),
        tuple(f"c{number}" for number in range(courses)),
        tuple(f"i{number}" for number in range(identifiers)),
    )
    pairs = [(who, key) for key in batch.courses for who in batch.identifiers]
    some = data.draw(st.lists(st.sampled_from(pairs), unique=True))
    results = [EnrollmentResult(*pair, batch.action, *data.draw(fates)) for pair in some]
    kept = encode(batch, results)
    assert sorted(decode(batch, kept), key=repr) == sorted(results, key=repr)
    assert sorted(positions(kept)) == sorted(map(pairs.index, some))
