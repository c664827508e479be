"""One state machine for the window of one client and for those that many share, on a clock of ours.

Whatever happens (network, clocks, lost logs, processes that go), the platform refuses nothing,
and no place is lost for longer than a call counts.
"""

from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import msgspec
import pytest
import redis
from attrs import asdict, define, field
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from async_enroll import RequestWindow
from async_enroll.pacing.shared.file import File
from async_enroll.pacing.shared.log import Reply, Request, SharedLog
from async_enroll.pacing.shared.membership import Membership
from async_enroll.pacing.shared.script import RULES
from async_enroll.pacing.sliding_window import Call, WindowLog
from tests.redis_server import RedisServer, needs_redis, serving

CALLS = 4
WINDOW = RequestWindow(CALLS, 10)
LEASE = 20.0


class Log(Protocol):
    """Where the log is; at `clock` it takes a request."""

    def exchange(self, request: Request, clock: float) -> Reply: ...
    def lose(self) -> None: ...
    def close(self) -> None: ...


@define
class InMemory:
    log: SharedLog = field(factory=SharedLog)

    def exchange(self, request: Request, clock: float) -> Reply:
        return self.log.exchange(request, clock)

    def lose(self) -> None:
        self.log = SharedLog()

    def close(self) -> None:
        pass


class InFile:
    def __init__(self, path: Path) -> None:
        self._clock = 0.0
        self._file = File(path, is_default=False, name="", clock=lambda: self._clock)
        self.lose()

    def exchange(self, request: Request, clock: float) -> Reply:
        self._clock = clock
        return self._file.exchange(request)

    def lose(self) -> None:
        self._file.name = uuid4().hex

    def close(self) -> None:
        self._file.close()


class InRedis:
    """In Lua, on our clock; each answer is held against that of the same rules in Python."""

    def __init__(self, server: RedisServer) -> None:
        self._client: redis.Redis = server.client()
        self._script = self._client.register_script("local clock = tonumber(ARGV[2])\n" + RULES)
        self._twin = InMemory()
        self.lose()

    def exchange(self, request: Request, clock: float) -> Reply:
        arguments: list[Any] = [msgspec.json.encode(request), repr(clock)]
        body: Any = self._script(keys=["x"], args=arguments)
        reply = msgspec.json.decode(body, type=Reply)
        expected = self._twin.exchange(request, clock)
        assert asdict(reply) == pytest.approx(asdict(expected), abs=1e-6)
        return reply

    def lose(self) -> None:
        self._client.flushall()
        self._twin.lose()

    def close(self) -> None:
        self._client.close()


@define
class Machine:
    """The world: a platform that counts, processes that call, and the time."""

    log: Log | None
    now: float = 1000.0
    clock: float = 5000.0
    members: list[Membership] = field(factory=list)
    own: WindowLog = field(factory=lambda: WindowLog(WINDOW, CALLS))
    _numbers: Iterator[int] = field(factory=count)

    def join(self) -> None:
        if self.log is not None:
            # By their names it is decided whose turn it is: random ones would not be repeatable.
            name = f"process {next(self._numbers)}"
            self.members.append(member := Membership(WINDOW, CALLS, LEASE, name))
            member.away = False
            self.exchange(member)

    def exchange(self, member: Membership, *, wants: bool = False) -> Call | None:
        assert self.log is not None
        request = member.request(self.now, wants=wants)
        reply = self.log.exchange(request, self.clock)
        call = member.take(request, reply, self.now, self.now)
        if not reply.known:  # what the task of a window does
            return self.exchange(member, wants=wants)
        return call

    def advance(self, seconds: float) -> None:
        """Let time pass, and each process keep up with the log."""
        end = self.now + seconds
        while self.members and (first := min(self.members, key=lambda one: one.due)).due <= end:
            self._move_to(first.due)
            self.exchange(first)
        self._move_to(end)

    def _move_to(self, at: float) -> None:
        passed = max(0.0, at - self.now)
        self.now += passed
        self.clock += passed


@define
class Sent:
    """A call under way: whose it is, and whether it has arrived."""

    call: Call
    member: Membership | None
    arrived: bool = False


class SlidingWindow(RuleBasedStateMachine):
    """The rules; `log` makes where the log is, None for one client that shares nothing."""

    make: Any = None

    @initialize(processes=st.integers(1, 3))
    def begin(self, processes: int) -> None:
        self.world = Machine(self.make() if self.make else None)
        self.sent: list[Sent] = []
        self.counted: list[tuple[float, Membership | None]] = []
        for _ in range(processes):
            self.world.join()

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            self._all_is_free_in_the_end()
        finally:
            if self.world.log is not None:
                self.world.log.close()

    def _all_is_free_in_the_end(self) -> None:
        """Every place comes back, and those of a process that was killed when its lease ends."""
        for one in [*self.sent]:
            self._end(one)
        self.world.advance(LEASE + WINDOW.seconds * 1.001 + 4.0)
        got = 0
        for _ in range(CALLS):
            got += self._ask(0)
        assert got == CALLS
        assert not self._ask(0)

    def _ask(self, index: int) -> bool:
        world = self.world
        if world.log is None:
            if world.own.wait(world.now) > 0:
                return False
            self.sent.append(Sent(world.own.send(world.now), None))
            return True
        member = world.members[index % len(world.members)]
        if member.wait(world.now) > 0 or not (call := world.exchange(member, wants=True)):
            return False
        self.sent.append(Sent(call, member))
        return True

    def _arrive(self, one: Sent) -> None:
        """The platform counts a call: it has room, or it would have refused it."""
        if not one.arrived:
            one.arrived = True
            now = self.world.now
            since = now - WINDOW.seconds
            self.counted = [(at, whose) for at, whose in self.counted if at > since]
            assert len(self.counted) < CALLS
            self.counted.append((now, one.member))

    def _end(self, one: Sent) -> None:
        self._arrive(one)
        self.sent.remove(one)
        (one.member or self.world.own).answered(one.call, self.world.now)

    @rule(seconds=st.sampled_from([0.01, 0.3, 1.0, 4.9, 10.02, 31.0]))
    def wait(self, seconds: float) -> None:
        self.world.advance(seconds)

    @rule(index=st.integers(0, 2))
    def ask(self, index: int) -> None:
        self._ask(index)

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def arrive(self, data: st.DataObject) -> None:
        self._arrive(data.draw(st.sampled_from(self.sent)))

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        self._end(data.draw(st.sampled_from(self.sent)))

    @precondition(lambda self: any(not one.arrived for one in self.sent))
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from([one for one in self.sent if not one.arrived]))
        self.sent.remove(one)
        if one.member is None:
            self.world.own.unsent(one.call)
        else:
            one.member.unsent(one.call, self.world.now)

    @precondition(lambda self: self.make and len(self.world.members) < 3)
    @rule()
    def join(self) -> None:
        self.world.join()

    @precondition(lambda self: self.make and len(self.world.members) > 1)
    @rule()
    def is_killed(self) -> None:
        """A process dies. What it has sent may have been counted when its lease ends."""
        member = self.world.members.pop()
        self.sent = [one for one in self.sent if one.member is not member]

    @precondition(lambda self: self.make)
    @rule()
    def lose_the_log(self) -> None:
        """FLUSHALL: all processes restore it, but none does so for those that have died."""
        world = self.world
        assert world.log is not None
        world.log.lose()
        world.exchange(max(world.members, key=lambda one: len(one.own.calls(world.now))))
        self.counted = [(at, whose) for at, whose in self.counted if whose in world.members]

    @precondition(lambda self: self.make)
    @rule(seconds=st.sampled_from([-86_400.0, -3.0, -0.2, 0.2, 3.0, 86_400.0]))
    def set_the_clock(self, seconds: float) -> None:
        """The server's clock is set; each process hears of it before the next call is sent."""
        self.world.clock += seconds
        for member in self.world.members * 2:
            self.world.exchange(member)


def run(make: Any, examples: int = 40) -> None:
    class Rules(SlidingWindow):
        pass

    Rules.make = staticmethod(make) if make else None
    few = settings(max_examples=examples, stateful_step_count=40, deadline=None)
    run_state_machine_as_test(Rules, settings=few)


def test_of_one_client() -> None:
    run(None)


def test_of_many() -> None:
    run(InMemory, 100)


def test_in_a_file(tmp_path: Path) -> None:
    run(partial(InFile, tmp_path / "window.db"), 20)


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with serving() as server:
        yield server


@needs_redis
def test_in_redis(server: RedisServer) -> None:
    run(partial(InRedis, server))
