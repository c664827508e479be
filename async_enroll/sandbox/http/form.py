"""Decodes the body of a bulk call: JSON, or a form in either encoding."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator, Mapping
from email.message import Message
from email.parser import BytesParser
from email.policy import HTTP
from http import HTTPStatus
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from async_enroll.sandbox.http.answers import Refusal


class Form(Mapping[str, str]):
    """The fields of a form; a name gives its last value, as in Django's `QueryDict`."""

    def __init__(self, fields: list[tuple[str, str]]) -> None:
        self._fields = fields

    def __getitem__(self, name: str) -> str:
        return dict(self._fields)[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self._fields))

    def __len__(self) -> int:
        return len(dict(self._fields))

    def list(self, name: str) -> list[str]:
        """Return all values of a name, in order."""
        return [value for key, value in self._fields if key == name]


def read_body(body: bytes, content_type: str) -> Any:
    """Return the content of a body. Raises Refusal (400 for bad JSON, 415 for another media type).

    `content_type` is the text of the header. An empty body is valid with any type.
    """
    header = Message()
    header["Content-Type"] = content_type
    # The standard library reads an absent or malformed header as text/plain.
    media_type = header.get_content_type() if "/" in content_type else ""
    encoding = _encoding(header)
    if media_type == "application/x-www-form-urlencoded":
        text = body.decode(encoding, "replace")
        return Form(parse_qsl(text, keep_blank_values=True, encoding=encoding))
    if media_type == "multipart/form-data":
        return _multipart(body, content_type, encoding)
    if not body:
        return {}
    if media_type != "application/json":
        detail = f'Unsupported media type "{content_type}" in request.'
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, {"detail": detail})
    try:
        return json.loads(body.decode(encoding), parse_constant=_refuse_constant)
    except ValueError as error:
        raise Refusal(HTTPStatus.BAD_REQUEST, {"detail": f"JSON parse error - {error}"}) from None


def _encoding(header: Message) -> str:
    charset = str(header.get_param("charset", "utf-8"))
    try:
        return codecs.lookup(charset).name
    except LookupError:
        return "utf-8"


def _multipart(body: bytes, content_type: str, encoding: str) -> Form:
    head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1", "replace")
    message = BytesParser(policy=HTTP).parsebytes(head + body)
    fields = []
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        payload = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(payload, bytes):
            fields.append((name, payload.decode(encoding, "replace")))
    return Form(fields)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"Out of range float values are not JSON compliant: {name!r}")
