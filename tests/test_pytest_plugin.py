"""The fixtures that others use in their tests, in runs of pytest as others have them."""

import pytest

pytest_plugins = ["pytester"]

CONFTEST = """
import pytest

@pytest.fixture
def anyio_backend():
    return "asyncio"
"""
TESTS = """
import asyncio
import pytest
from async_enroll import EnrollmentClient, RequestWindow

COURSE = "course-v1:Org+C1+2026"

async def enroll(platform, client):
    platform.add_course(COURSE)
    report = await client.bulk_enroll(["jane@example.org"], [COURSE])
    assert report.ok
    assert platform.is_allowed("jane@example.org", COURSE)

def test_of_an_application_with_a_loop_of_its_own(enroll_platform):
    async def application():
        async with EnrollmentClient(enroll_platform.url, enroll_platform.token) as client:
            await enroll(enroll_platform, client)

    asyncio.run(application())

{mark}
async def test_with_a_client(enroll_platform, enroll_client):
    await enroll(enroll_platform, enroll_client)

{mark}
async def test_of_a_crash(enroll_platform, enroll_client):
    await enroll_platform.crash()
    await enroll_platform.restart()
    await enroll(enroll_platform, enroll_client)

class TestWithOptions:
    @pytest.fixture
    def enroll_platform_options(self):
        return {{"window": RequestWindow(2, 0.1), "token": "chosen"}}

    {mark}
    async def test_of_a_throttle(self, enroll_platform, enroll_client):
        await enroll(enroll_platform, enroll_client)
        for _ in range(2):
            await enroll_client.bulk_enroll(["jane@example.org"], [COURSE])
        arrivals = [one.arrival for one in enroll_platform.requests if one.status == 200]
        assert len(arrivals) == 4
        assert arrivals[2] >= arrivals[0] + 0.1
        assert enroll_platform.token == "chosen"

{other}

def test_of_another_kind(enroll_client):
    pass
"""
LOOPS = ["-o", "asyncio_default_fixture_loop_scope=function"]
# They only cost time here.
WITHOUT = ["-p", "no:xdist", "-p", "no:hypothesispytest", "-p", "no:cacheprovider"]
ON_ANYIO = """
@pytest.mark.anyio
async def test_of_anyio(enroll_platform, enroll_client):
    await enroll(enroll_platform, enroll_client)
"""
ON_ANOTHER_LOOP = """
@pytest.mark.asyncio(loop_scope="module")
async def test_on_the_loop_of_its_module(enroll_platform, enroll_client):
    await enroll(enroll_platform, enroll_client)
"""


@pytest.mark.parametrize(
    ("options", "mark", "other"),
    [
        ([*LOOPS, "-o", "asyncio_mode=strict"], "@pytest.mark.asyncio", ON_ANYIO + ON_ANOTHER_LOOP),
        ([*LOOPS, "-o", "asyncio_mode=auto"], "", ON_ANOTHER_LOOP),
    ],
    ids=["strict", "auto"],
)
def test_tests_of_every_kind_are_served(
    pytester: pytest.Pytester, options: list[str], mark: str, other: str
) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(TESTS.format(mark=mark, other=other))
    outcome = pytester.runpytest_subprocess("-W", "error", *WITHOUT, *options)
    outcome.assert_outcomes(passed=4 + other.count("def"), errors=1)
    outcome.stdout.fnmatch_lines(["*enroll_client is for asynchronous tests*"])
