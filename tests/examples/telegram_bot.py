"""A Telegram bot that enrolls learners, with aiogram.

Install:      async_enroll aiogram, and bot_job.py beside this file
Environment:  ASYNC_ENROLL_URL    the site, like https://courses.example.org
              ASYNC_ENROLL_TOKEN  a bearer token of a global staff user
              BOT_TOKEN           the bot's own token, from @BotFather
              BOT_STAFF           Telegram user ids that may use it, separated by commas
              BOT_JOBS            a folder for unfinished jobs; default: bot-jobs
Run:          python telegram_bot.py

Commands run side by side: an /enroll waits for one place in the request window, never for
somebody's /migrate to end. A migration is shown before it starts; it shows its progress in one
message and ends with a file of the failures, which can be corrected and sent again. When it is
cancelled, it finishes the calls in flight and says how far it came. When the bot ends, in
whatever way, it goes on with the job when it is back.
"""

import asyncio
import logging
import os
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
from aiogram import Bot, Dispatcher, F
from aiogram.exceptions import TelegramAPIError
from aiogram.filters import Command, CommandObject, ExceptionTypeFilter
from aiogram.types import CallbackQuery, Document, ErrorEvent, FSInputFile, Message
from aiogram.utils.keyboard import InlineKeyboardBuilder
from anyio.to_thread import run_sync
from bot_job import ANSWERS, BotJob, chats_in

from async_enroll import (
    Action,
    EnrollError,
    EnrollmentClient,
    Roster,
    RosterDiff,
    RosterEntry,
)

HELP = """/enroll jane@example.org john course-v1:Org+C1+2026; /unenroll likewise
/who course-v1:Org+C1+2026
/migrate with a roster attached does what each of its rows says
/sync with a roster attached makes its courses equal to it: enrolls who is missing;
/sync remove also unenrolls who is not in it
/cancel stops either, /resume continues it"""

LONGEST = 4096  # Telegram takes no more


class TelegramChat:
    """Where a migration shows its progress, in one message, and its end."""

    def __init__(self, bot: Bot, chat: int) -> None:
        self._bot = bot
        self._chat = chat
        self._shown: Message | None = None

    async def progress(self, done: int, total: int) -> None:
        text = f"{done:,} of {total:,}"
        if self._shown is None:
            self._shown = await self._bot.send_message(self._chat, text)
        else:
            await self._bot.edit_message_text(
                text, chat_id=self._chat, message_id=self._shown.message_id
            )

    async def ended(self, text: str, failures: Path | None) -> None:
        await self._bot.send_message(self._chat, text[:LONGEST])
        if failures:
            await self._bot.send_document(self._chat, FSInputFile(failures))


def commands(
    client: EnrollmentClient, site: str, staff: set[int], folder: Path, pace: float = 2.0
) -> Dispatcher:
    """Handle the commands of `staff`; a migration shows progress every `pace` seconds."""
    dispatcher = Dispatcher()
    for allowed in (dispatcher.message, dispatcher.callback_query):
        allowed.filter(F.from_user.id.in_(staff))  # nobody else gets an answer
    jobs: dict[int, BotJob] = {}
    # The last one of each chat: the message that asks, and what is to be done.
    questions: dict[int, tuple[int, Roster | RosterDiff]] = {}
    resumed: set[asyncio.Task[None]] = set()

    def job_of(chat: int) -> BotJob:
        return jobs.setdefault(chat, BotJob(client, folder / str(chat), pace=pace))

    @dispatcher.message(Command("enroll", "unenroll", magic=F.args.split().len() > 1))
    async def enroll(message: Message, command: CommandObject) -> None:
        *people, course = (command.args or "").split()
        roster = [RosterEntry(who, course, Action(command.command)) for who in people]
        await message.answer(str(await client.apply(roster))[:LONGEST])

    @dispatcher.message(Command("who", magic=F.args))
    async def who(message: Message, command: CommandObject) -> None:
        listing = client.enrollments(course_id=command.args)
        names = sorted([record.username async for record in listing if record.is_active])
        more = [f"… and {len(names) - 20:,} more"] if len(names) > 20 else []
        await message.answer("\n".join([f"{len(names):,} enrolled", *names[:20], *more]))

    @dispatcher.message(Command("migrate"), F.document.as_("file"))
    @dispatcher.message(Command("sync", magic=F.args.in_({None, "remove"})), F.document.as_("file"))
    async def ask(message: Message, bot: Bot, file: Document, command: CommandObject) -> None:
        job = job_of(message.chat.id)
        if job.running:
            await message.answer("One at a time: /cancel stops the other.")
            return
        with TemporaryDirectory() as temporary:
            path = Path(temporary, "roster")  # never the sender's file name
            await bot.download(file, path)
            roster = await job.read(path, file.file_name or "roster")
        wanted: Roster | RosterDiff = roster
        if command.command == "sync":
            wanted = diff = await job.compare(roster, remove=command.args == "remove")
            if not any(diff.changes):
                await message.answer("In sync: there is nothing to do.")
                return
        text = await job.question(wanted, site)
        buttons = InlineKeyboardBuilder()
        for answer, words in ANSWERS.items():
            buttons.button(text=words, callback_data=answer)
        asked = await message.answer(text[:LONGEST], reply_markup=buttons.adjust(1).as_markup())
        questions[asked.chat.id] = asked.message_id, wanted

    @dispatcher.callback_query(F.data.in_(ANSWERS), F.message.as_("asked"))
    async def answer(query: CallbackQuery, asked: Message, bot: Bot) -> None:
        number, wanted = questions.get(asked.chat.id, (0, None))
        if number != asked.message_id or wanted is None:
            await query.answer("This question is closed. Send the roster again.")
            return
        del questions[asked.chat.id]
        with suppress(TelegramAPIError):  # the buttons have done their work
            await query.answer()
            await asked.edit_reply_markup()
        job = job_of(asked.chat.id)
        if query.data != "no" and job.running:
            await asked.answer("One at a time: /cancel stops the other.")
        elif query.data != "no":
            chat = TelegramChat(bot, asked.chat.id)
            await job.start(wanted, chat, email=query.data == "mail")

    @dispatcher.message(Command("resume"))
    async def resume(message: Message, bot: Bot) -> None:
        job = job_of(message.chat.id)
        if job.unfinished:
            await job.resume(TelegramChat(bot, message.chat.id))
        else:
            await message.answer("Nothing to resume.")

    @dispatcher.message(Command("cancel"))
    async def cancel(message: Message) -> None:
        job = job_of(message.chat.id)
        words = "Calls in flight are finished first." if job.running else "Nothing to stop."
        job.stop()
        await message.answer(words)

    @dispatcher.message(Command("start", "help", "enroll", "unenroll", "who", "migrate", "sync"))
    async def explain(message: Message) -> None:
        await message.answer(HELP)

    @dispatcher.error(ExceptionTypeFilter(EnrollError, TelegramAPIError))
    async def report_error(event: ErrorEvent, bot: Bot) -> None:
        query = event.update.callback_query
        told = event.update.message or (query and query.message)
        if told:
            await bot.send_message(told.chat.id, str(event.exception)[:LONGEST])

    @dispatcher.startup()
    async def resume_interrupted(bot: Bot) -> None:
        """Continue what was running when the bot ended."""
        for chat in await run_sync(chats_in, folder):
            resumed.add(asyncio.create_task(resume_job(bot, int(chat))))

    async def resume_job(bot: Bot, chat: int) -> None:
        job = job_of(chat)
        try:
            if job.interrupted:
                await job.resume(TelegramChat(bot, chat))
        except (EnrollError, TelegramAPIError):
            logging.exception("the job of chat %d is not resumed", chat)

    @dispatcher.shutdown()
    async def interrupt() -> None:
        """Stop all migrations, and wait until each has sent its result."""
        for job in jobs.values():
            job.interrupt()
        while any(job.running for job in jobs.values()):
            await anyio.sleep(0.1)
        await asyncio.gather(*resumed)

    return dispatcher


async def main() -> None:
    site, token = os.environ["ASYNC_ENROLL_URL"], os.environ["ASYNC_ENROLL_TOKEN"]
    staff = {int(user) for user in os.environ["BOT_STAFF"].split(",")}
    folder = Path(os.environ.get("BOT_JOBS", "bot-jobs"))
    async with EnrollmentClient(site, token) as client:
        await commands(client, site, staff, folder).start_polling(Bot(os.environ["BOT_TOKEN"]))


if __name__ == "__main__":
    anyio.run(main)
