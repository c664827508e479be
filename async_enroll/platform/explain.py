"""Reads parsed JSON as slowly as it takes to say what does not fit, and where: by cattrs.

Only for what the quick decoders of `platform.json` refuse, so that only such a platform costs the
time to load cattrs. Raises `UnexpectedResponse` with the path to the fault.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import attrs
from cattrs import Converter, transform_error
from cattrs.gen import make_dict_structure_fn

from async_enroll.errors import UnexpectedResponse
from async_enroll.models import Enrollment

T = TypeVar("T")


def enrollments(records: list[Any], *, start: int) -> list[Enrollment]:
    """Convert parsed records of the enrollment listing; `start` is the index of the first.

    Raises:
        UnexpectedResponse: if one does not fit; names the path, for example
            ``records[17].created``.

    """
    return structured(records, Enrollment, "records", start=start)


def structured(values: Any, cls: type[T], name: str, *, start: int = 0) -> list[T]:
    """Convert a parsed list of objects to an attrs class; `start` is the index of the first.

    Raises:
        UnexpectedResponse: if it does not fit; names the path, which begins with `name`.

    """
    if not isinstance(values, list):
        raise unexpected(f"a list of {name}", values)
    found: list[T] = []
    for value in values:
        try:
            found.append(_converter.structure(value, cls))
        except Exception as error:  # noqa: BLE001  # cattrs gathers whatever its hooks raise
            raise _unexpected(error, f"{name}[{start + len(found)}]") from None
    return found


def unexpected(expected: str, found: object) -> UnexpectedResponse:
    """The error for a whole answer that is something else than `expected`."""
    return UnexpectedResponse(f"{_Mismatch(expected, found)}")


class _Mismatch(ValueError):
    """A value of the wrong type. Its message says what was expected and what was found."""

    def __init__(self, expected: str, found: object) -> None:
        shown = repr(found)
        shown = shown if len(shown) <= 60 else f"{shown[:60]}…"
        super().__init__(f"expected {expected}, found {shown}")


def _unexpected(error: Exception, path: str) -> UnexpectedResponse:
    first = transform_error(error, path, lambda error, _: _words(error))[0]
    message, _, place = first.rpartition(" @ ")
    return UnexpectedResponse(message, path=place.removeprefix("."))


def _words(error: BaseException) -> str:
    if isinstance(error, KeyError):
        return "missing"
    if isinstance(error, _Mismatch):
        return str(error)
    return "expected a list or an object"


def _exactly(kind: type[T], expected: str) -> Callable[[Any, Any], T]:
    def structure(value: Any, _: Any) -> T:
        if not isinstance(value, kind):
            raise _Mismatch(expected, value)
        return value

    return structure


def _created(value: Any, _: Any) -> datetime | None:
    if value is None:  # the column is nullable (CourseEnrollment.created)
        return None
    # The reporting API writes "2021-03-09 20:15", Open edX ISO 8601; this parses both.
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise _Mismatch("a date and time", value) from None


def _object(cls: type[T]) -> Callable[[Any, Any], T]:
    """A hook that structures `cls` from a JSON object and rejects anything else."""
    structure = make_dict_structure_fn(cls, _converter)

    def hook(value: Any, _: Any) -> T:
        if not isinstance(value, dict):
            raise _Mismatch("an object", value)
        return structure(value, cls)

    return hook


def _enrollment(record: Any, _: Any) -> Enrollment:
    if isinstance(record, dict):
        record.setdefault("email", None)  # only MOOCit's listing has it
    return _enrollment_fields(record, Enrollment)


_converter = Converter(use_alias=True)
_converter.register_structure_hook(str, _exactly(str, "a string"))
_converter.register_structure_hook(bool, _exactly(bool, "true or false"))
_converter.register_structure_hook(datetime | None, _created)
_converter.register_structure_hook_factory(attrs.has, _object)
_enrollment_fields = _object(Enrollment)
_converter.register_structure_hook(Enrollment, _enrollment)
