"""The platform's public face, apart from what it answers."""

import threading

import anyio
import pytest

from async_enroll.sandbox import Platform
from tests.sandbox.raw import C1, LISTING, MISSING, small_platform, speaking_to


async def test_is_served_while_the_block_lasts() -> None:
    platform = small_platform()
    with pytest.raises(RuntimeError):
        _ = platform.url
    async with platform:
        assert platform.url.startswith("http://127.0.0.1:")
    with pytest.raises(RuntimeError):
        _ = platform.url


def test_is_served_in_a_thread_of_its_own() -> None:
    threads = threading.active_count()

    async def ask(platform: Platform) -> None:
        async with speaking_to(platform) as raw:
            assert (await raw.request("GET", LISTING)).status == 200

    async def crash_and_ask(platform: Platform) -> None:
        await platform.crash()
        with pytest.raises(OSError, match="Connect"):
            await ask(platform)
        await platform.restart()
        await ask(platform)

    with small_platform() as platform:
        anyio.run(ask, platform)
        anyio.run(crash_and_ask, platform)
        port = int(platform.url.rpartition(":")[2])
        with pytest.raises(OSError, match="address"), Platform(port=port):
            pass
    with pytest.raises(RuntimeError, match="not served"):
        _ = platform.url
    assert threading.active_count() == threads


async def test_two_platforms_share_nothing() -> None:
    async with Platform() as one, Platform() as other, speaking_to(other) as raw:
        assert one.url != other.url
        assert one.token != other.token
        assert (await raw.using(one.token).request("GET", LISTING)).status == 401


async def test_the_token_may_be_chosen() -> None:
    async with Platform(token="chosen") as platform, speaking_to(platform) as raw:
        assert platform.token == "chosen"
        assert (await raw.using("chosen").request("GET", LISTING)).status == 200


async def test_a_port_in_use_is_an_error() -> None:
    async with Platform() as platform:
        port = int(platform.url.rpartition(":")[2])
        with pytest.raises(OSError, match="address"):
            async with Platform(port=port):
                pass


def test_names_are_taken_once() -> None:
    platform = small_platform()
    with pytest.raises(ValueError, match="exists already"):
        platform.add_course(C1)
    with pytest.raises(ValueError, match="exists already"):
        platform.add_user("JANE", "other@example.org")
    with pytest.raises(ValueError, match="exists already"):
        platform.add_user("other", "jane@EXAMPLE.org")
    with pytest.raises(ValueError, match="not a course key"):
        platform.add_course("Demo")


@pytest.mark.parametrize(("identifier", "course"), [("nobody", C1), ("Jane", MISSING)])
def test_only_the_known_can_be_enrolled(identifier: str, course: str) -> None:
    with pytest.raises(LookupError):
        small_platform().enroll(identifier, course)


def test_only_in_a_known_course_can_anybody_be_waited_for() -> None:
    with pytest.raises(LookupError):
        small_platform().allow("new@example.org", MISSING)


def test_of_an_unknown_course_nothing_holds() -> None:
    platform = small_platform()
    assert not platform.is_enrolled("Jane", MISSING)
    assert not platform.is_allowed("jane@example.org", MISSING)
    assert platform.cohort_of("Jane", MISSING) is None


def test_a_demo_population() -> None:
    platform = Platform()
    population = platform.seed(learners=3, courses=2)
    assert population.usernames == ("learner000001", "learner000002", "learner000003")
    assert population.emails[0] == "learner000001@example.org"
    assert population.courses == ("course-v1:Demo+C001+2026", "course-v1:Demo+C002+2026")
    assert platform.enrollments == []
    platform.enroll("LEARNER000002@example.org", population.courses[1])
    assert platform.is_enrolled("learner000002", population.courses[1])
    assert Platform().seed(learners=3, courses=2) == population
