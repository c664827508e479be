"""Where in a file pairs were asked for."""

from hypothesis import given
from hypothesis import strategies as st

from async_enroll.journal.results import decode, encode, encode_lines
from async_enroll.models import Action, Batch, Outcome
from async_enroll.planning.desired import Lines
from async_enroll.results import Block, ResultDetail

pairs = st.dictionaries(
    st.tuples(st.text(max_size=3), st.sampled_from("ABC")), st.integers(1, 2**32 - 1)
)


@given(pairs, pairs)
def test_a_pair_is_found_in_its_line(
    some: dict[tuple[str, str], int], more: dict[tuple[str, str], int]
) -> None:
    lines = Lines()
    for found in (some, {pair: line for pair, line in more.items() if pair not in some}):
        for (who, course), line in found.items():
            lines.add(who, course, line)
        assert all(lines.of(*pair) == line for pair, line in found.items())
    assert lines.of("none of them", "A") is None
    assert len(lines) == len({**some, **more})


def test_lines_in_a_journal() -> None:
    batch = Batch(Action.ENROLL, ("A", "B"), ("jane", "joe"))
    lines = Lines()
    for line, pair in enumerate([("jane", "B"), ("joe", "A"), ("joe", "B")], 2):
        lines.add(*pair, line)
    done, failed = ResultDetail(Outcome.ENROLLED), ResultDetail(Outcome.ERROR)
    blocks = [
        Block("A", Action.ENROLL, ["joe"], [failed]),
        Block("B", Action.ENROLL, ["jane", "joe"], [done, failed]),
    ]
    found = decode(batch, encode(batch, blocks), encode_lines(batch, lines))
    assert [(one.identifier, one.course_id, one.line) for block in found for one in block] == [
        ("joe", "A", 3),
        ("jane", "B", 2),
        ("joe", "B", 4),
    ]
    only = [block.only(lambda detail: not detail.outcome.ok) for block in found]
    assert [one.line for block in only for one in block] == [3, 4]
