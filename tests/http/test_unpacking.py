"""Compressed answers: unpacked as they arrive, and never all at once."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_enroll.http.unpacking import LARGEST_PIECE, Gunzip


def unpacked(pieces: list[bytes]) -> tuple[list[bytes], Gunzip]:
    gunzip = Gunzip()
    found = []
    for piece in pieces:
        found.append(gunzip.unpack(piece))
        while gunzip.has_more:
            found.append(gunzip.unpack())
    return found, gunzip


@given(
    members=st.lists(st.binary(), min_size=1, max_size=3),
    cuts=st.lists(st.integers(0, 200), max_size=5),
)
def test_any_content_in_any_pieces(members: list[bytes], cuts: list[int]) -> None:
    packed = b"".join(map(gzip.compress, members))
    ends = [*sorted(cuts), len(packed)]
    pieces = [packed[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    found, gunzip = unpacked(pieces)
    assert b"".join(found) == b"".join(members)
    assert gunzip.is_whole


@pytest.mark.parametrize("size", [LARGEST_PIECE - 1, LARGEST_PIECE, 40 * LARGEST_PIECE])
def test_pieces_are_bounded(size: int) -> None:
    packed = gzip.compress(bytes(size))
    assert len(packed) < size / 500
    found, gunzip = unpacked([packed])
    assert sum(map(len, found)) == size
    assert max(map(len, found)) <= LARGEST_PIECE
    assert gunzip.is_whole


@given(st.binary(min_size=1), st.data())
def test_what_ends_early(content: bytes, data: st.DataObject) -> None:
    packed = gzip.compress(content)
    end = data.draw(st.integers(1, len(packed) - 1))
    assert not unpacked([packed[:end]])[1].is_whole


@given(st.binary(min_size=2).filter(lambda text: text[:2] != b"\x1f\x8b"))
def test_what_is_no_gzip(text: bytes) -> None:
    with pytest.raises(ValueError, match="not gzip"):
        Gunzip().unpack(text)


def test_nothing_at_all() -> None:
    assert Gunzip().is_whole
