"""Results as they are kept: in blocks."""

from async_enroll import EnrollmentResult
from async_enroll.results import Block, ResultDetail


def block_of(result: EnrollmentResult) -> Block:
    """A block of a single result."""
    detail = ResultDetail(
        result.outcome,
        result.before,
        result.after,
        result.error,
        result.notified,
        result.attempts,
    )
    return Block(result.course_id, result.action, [result.identifier], [detail])
