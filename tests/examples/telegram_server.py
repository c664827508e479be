"""A stand-in for Telegram on loopback: its Bot API as bots see it, and people who write to them.

It keeps Telegram's own rules: what texts are too long, and that an edit must change something.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from itertools import count
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from attrs import define, field

from tests.waiting import until

TOKEN = "42:telegram-token"
_LONGEST = {"text": 4096, "caption": 1024}

Fields = dict[str, Any]


@define
class Said:
    """A message of the bot's: its texts from the first to the last edit, each with its time."""

    texts: list[str]
    times: list[float]
    document: bytes | None = None
    file_name: str | None = None
    buttons: dict[str, str] = field(factory=dict)
    """Their data, by their words."""

    @property
    def text(self) -> str:
        return self.texts[-1]


@define
class Person:
    """Someone who writes to the bot, and what it has said to them."""

    id: int
    write: Callable[[Fields], None]
    press: Callable[[Said, str], None]
    """Press the button with these words under a message."""
    heard: list[Said] = field(factory=list)

    def say(self, text: str) -> None:
        """Send a message."""
        self.write({"text": text})

    def attach(self, caption: str, document: dict[str, str]) -> None:
        """Send a document with a caption."""
        self.write({"caption": caption, "document": document})

    async def hear(self, words: str, *, seconds: float = 20) -> Said:
        """Wait until the bot says something with these words."""
        await until(lambda: any(words in said.text for said in self.heard), seconds=seconds)
        return next(said for said in self.heard if words in said.text)


class Telegram:
    """Serves the Bot API while the ``async with`` block lasts."""

    def __init__(self) -> None:
        self.people: dict[int, Person] = {}
        self.files: dict[str, bytes] = {}
        self.failing: dict[str, tuple[int, str]] = {}
        """Methods that do not work now: with which status, and in what words."""
        self.notices: list[str] = []
        """What was shown to those who pressed buttons."""
        self._updates: list[Fields] = []
        self._news = asyncio.Event()
        self._numbers = count(1)
        self._said: dict[int, Said] = {}
        application = web.Application()
        application.router.add_post(f"/bot{TOKEN}/{{method}}", self._answer)
        application.router.add_get(f"/file/bot{TOKEN}/{{path}}", self._download)
        self._runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    def person(self, user_id: int) -> Person:
        """Someone with this id, in a chat with the bot alone."""

        author = {"id": user_id, "is_bot": False, "first_name": "Someone"}

        def write(what: Fields) -> None:
            message = _message({"chat_id": user_id}, next(self._numbers))
            del message["text"]
            self._add({"message": {**message, "from": author, **what}})

        def press(said: Said, words: str) -> None:
            (number,) = [number for number, one in self._said.items() if one is said]
            message = _message({"chat_id": user_id}, number)
            query = {"id": "1", "from": author, "chat_instance": "1", "message": message}
            self._add({"callback_query": {**query, "data": said.buttons[words]}})

        return self.people.setdefault(user_id, Person(user_id, write, press))

    def _add(self, update: Fields) -> None:
        self._updates.append({"update_id": next(self._numbers), **update})
        self._news.set()

    def upload(self, content: bytes, name: str) -> dict[str, str]:
        """Give a document to attach."""
        key = f"file{len(self.files)}"
        self.files[key] = content
        return {"file_id": key, "file_unique_id": key, "file_name": name}

    async def _download(self, request: web.Request) -> web.Response:
        return web.Response(body=self.files[request.match_info["path"]])

    async def _answer(self, request: web.Request) -> web.Response:
        method = request.match_info["method"]
        asked = dict(await request.post())
        for name, most in _LONGEST.items():
            if len(str(asked.get(name, ""))) > most:
                return _refused(400, f"Bad Request: message {name} is too long")
        if method in self.failing:
            return _refused(*self.failing[method])
        answers: dict[str, Callable[[Fields], Awaitable[Any]]] = {
            "getMe": self._get_me,
            "getUpdates": self._get_updates,
            "getFile": self._get_file,
            "sendMessage": self._send,
            "sendDocument": self._send,
            "editMessageText": self._edit,
            "editMessageReplyMarkup": self._edit_buttons,
            "answerCallbackQuery": self._answer_press,
        }
        try:
            return web.json_response({"ok": True, "result": await answers[method](asked)})
        except ValueError as error:
            return _refused(400, f"Bad Request: {error}")

    async def _get_me(self, _: Fields) -> Fields:
        return {"id": 42, "is_bot": True, "first_name": "Bot", "username": "enroll_bot"}

    async def _get_updates(self, asked: Fields) -> list[Fields]:
        first = int(asked.get("offset", 0))
        self._updates = [update for update in self._updates if update["update_id"] >= first]
        if not self._updates:
            self._news.clear()
            await self._news.wait()
        return self._updates

    async def _get_file(self, asked: Fields) -> Fields:
        key = asked["file_id"]
        return {"file_id": key, "file_unique_id": key, "file_path": key}

    async def _send(self, asked: Fields) -> Fields:
        said = Said([asked.get("text") or asked.get("caption", "")], [time.monotonic()])
        number = next(self._numbers)
        rows = json.loads(asked.get("reply_markup", "{}")).get("inline_keyboard", [])
        said.buttons = {one["text"]: one["callback_data"] for row in rows for one in row}
        for part in asked.values():
            if isinstance(part, web.FileField):
                said.document, said.file_name = part.file.read(), part.filename
        self._said[number] = said
        self.people[int(asked["chat_id"])].heard.append(said)
        return _message(asked, number)

    async def _edit_buttons(self, asked: Fields) -> Fields:
        number = int(asked["message_id"])
        self._said[number].buttons = {}
        return _message(asked, number)

    async def _answer_press(self, asked: Fields) -> bool:
        self.notices.append(asked.get("text", ""))
        return True

    async def _edit(self, asked: Fields) -> Fields:
        number = int(asked["message_id"])
        said = self._said[number]
        if asked["text"] == said.text:
            raise ValueError("message is not modified")
        said.texts.append(asked["text"])
        said.times.append(time.monotonic())
        return _message(asked, number)


def _message(asked: Fields, number: int) -> Fields:
    chat = {"id": int(asked["chat_id"]), "type": "private"}
    return {"message_id": number, "date": int(time.time()), "chat": chat, "text": "as sent"}


def _refused(status: int, words: str) -> web.Response:
    answer = {"ok": False, "error_code": status, "description": words}
    return web.json_response(answer, status=status)
