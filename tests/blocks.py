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
    who, at = [result.identifier], result.at
    return Block(result.course_id, result.action, who, [detail], cohort=result.cohort, at=at)
