"""A Telegram bot that enrolls learners, with aiogram.

Install:      async_enroll aiogram
Environment:  ASYNC_ENROLL_URL    the site, like https://courses.example.org
              ASYNC_ENROLL_TOKEN  a bearer token of a global staff user
              BOT_TOKEN           the bot's own token, from @BotFather
              BOT_STAFF           Telegram user ids that may use it, separated by commas
Run:          python telegram_bot.py

Commands run side by side: an /enroll waits for one place in the request window, never for
somebody's /migrate to end. A migration shows its progress in one message and ends with a file
of the failures, which can be corrected and sent again. When it is cancelled, or the bot is shut
down, it finishes the calls in flight and says how far it came.
"""

import os
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
from aiogram import Bot, Dispatcher, F
from aiogram.exceptions import TelegramAPIError
from aiogram.filters import Command, CommandObject, ExceptionTypeFilter
from aiogram.types import Document, ErrorEvent, FSInputFile, Message, User
from anyio.to_thread import run_sync

from async_enroll import Action, EnrollError, EnrollmentClient, Roster, RosterEntry, RosterError
from async_enroll.reports import write

HELP = """/enroll jane@example.org john course-v1:Org+C1+2026; /unenroll likewise
/who course-v1:Org+C1+2026
/migrate with a roster attached; /cancel stops it"""


def commands(client: EnrollmentClient, staff: set[int], pace: float = 2.0) -> Dispatcher:
    """Handle the commands of `staff`; a migration shows progress every `pace` seconds."""
    dispatcher = Dispatcher()
    dispatcher.message.filter(F.from_user.id.in_(staff))  # nobody else gets an answer
    migrations: dict[int, anyio.Event] = {}  # by user id: set to stop theirs

    @dispatcher.message(Command("enroll", "unenroll", magic=F.args.split().len() > 1))
    async def enroll(message: Message, command: CommandObject) -> None:
        *people, course = (command.args or "").split()
        roster = [RosterEntry(who, course, Action(command.command)) for who in people]
        await message.answer(str(await client.apply(roster))[:4096])  # Telegram takes no more

    @dispatcher.message(Command("who", magic=F.args))
    async def who(message: Message, command: CommandObject) -> None:
        listing = client.enrollments(course_id=command.args)
        names = sorted([record.username async for record in listing if record.is_active])
        more = [f"… and {len(names) - 20:,} more"] if len(names) > 20 else []
        await message.answer("\n".join([f"{len(names):,} enrolled", *names[:20], *more]))

    @dispatcher.message(Command("migrate"), F.document.as_("file"))
    async def migrate(message: Message, bot: Bot, file: Document, event_from_user: User) -> None:
        if event_from_user.id in migrations:
            await message.answer("One at a time: /cancel stops the other.")
            return
        stop = migrations[event_from_user.id] = anyio.Event()
        with TemporaryDirectory() as folder:
            path = Path(folder, "roster")  # never the sender's file name
            try:
                await bot.download(file, path)
                await run(await run_sync(Roster.read, path), stop, message, folder)
            except RosterError as error:
                error.source = file.file_name or "roster"
                raise
            finally:
                del migrations[event_from_user.id]

    async def run(roster: Roster, stop: anyio.Event, message: Message, folder: str) -> None:
        progress = await message.answer(f"0 of {len(roster):,}")
        shown, done, failures, ending = anyio.current_time(), 0, [], "Finished"
        try:
            async for result in client.stream(roster, stop=stop):
                done += 1
                if not result.outcome.ok:
                    failures.append(result)
                if anyio.current_time() > shown + pace:
                    with suppress(TelegramAPIError):  # the migration is what matters
                        await progress.edit_text(f"{done:,} of {len(roster):,}")
                    shown = anyio.current_time()
        except EnrollError as error:
            ending = f"Stopped: {error}"
        await message.answer(f"{ending}\n{done - len(failures):,} of {len(roster):,} as asked")
        if failures:
            await run_sync(write, f"{folder}/failures.csv", failures)
            await message.answer_document(FSInputFile(f"{folder}/failures.csv"))

    @dispatcher.message(Command("cancel"))
    async def cancel(message: Message, event_from_user: User) -> None:
        stop = migrations.get(event_from_user.id)
        if stop:
            stop.set()
        await message.answer("Calls in flight are finished first." if stop else "Nothing to stop.")

    @dispatcher.message(Command("start", "help", "enroll", "unenroll", "who", "migrate"))
    async def explain(message: Message) -> None:
        await message.answer(HELP)

    @dispatcher.error(ExceptionTypeFilter(EnrollError, TelegramAPIError))
    async def report_error(event: ErrorEvent) -> None:
        if event.update.message:
            await event.update.message.answer(str(event.exception)[:4096])

    @dispatcher.shutdown()
    async def finish() -> None:
        """Stop all migrations, and wait until each has sent its result."""
        for stop in migrations.values():
            stop.set()
        while migrations:
            await anyio.sleep(0.1)

    return dispatcher


async def main() -> None:
    site, token = os.environ["ASYNC_ENROLL_URL"], os.environ["ASYNC_ENROLL_TOKEN"]
    staff = {int(user) for user in os.environ["BOT_STAFF"].split(",")}
    async with EnrollmentClient(site, token) as client:
        await commands(client, staff).start_polling(Bot(os.environ["BOT_TOKEN"]))


if __name__ == "__main__":
    anyio.run(main)
