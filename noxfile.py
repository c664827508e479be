"""What a developer does here: `nox --list` is the menu, plain `nox` what a change must pass."""

import sys

import nox

nox.options.default_venv_backend = "venv"
nox.options.sessions = ["lint", "types", "tests"]
# A Python that is not on this machine is skipped, on a build server as well.
nox.options.error_on_missing_interpreters = False

# Those we promise, and the one at hand: a newer one alone must not mean that nothing is tested.
PYTHONS = sorted({"3.11", "3.12", "3.13", "{}.{}".format(*sys.version_info)})
PROJECT = nox.project.load_toml("pyproject.toml")


def install(session: nox.Session, *groups: str, extra: str = "all") -> None:
    """Install the project with one of its extras, and some of its dependency groups."""
    session.install("-e", f".[{extra}]", *nox.project.dependency_groups(PROJECT, *groups))


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests; arguments after -- go to pytest."""
    install(session, "tests")
    session.run("pytest", *session.posargs)


@nox.session(python=PYTHONS[0])
def lowest(session: nox.Session) -> None:
    """Run the tests with the lowest versions that we allow; arguments after -- go to pytest."""
    project = PROJECT["project"]
    allowed = [project["dependencies"], *project["optional-dependencies"].values()]
    pins = [one.replace(">=", "==") for part in allowed for one in part if ">=" in one]
    session.install("-e", ".[all]", *nox.project.dependency_groups(PROJECT, "tests"), *pins)
    # An example and a benchmark: Celery and limits need a newer redis than we do.
    newer = "not test_a_worker_of_four_processes and not installed[shared]"
    session.run("pytest", "-k", newer, *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, format and who imports whom."""
    install(session, "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of everything, strictly, and that users see a type for every name."""
    install(session, "types")
    session.run("mypy")
    session.run("pyright")
    session.run("pyright", "--verifytypes", "async_enroll", "--ignoreexternal")


@nox.session
def demo(session: nox.Session) -> None:
    """Enroll some thousand learners on the embedded sandbox, and check the account."""
    install(session, extra="cli")
    session.run("async-enroll", "demo", *session.posargs)


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Measure ours beside what a user would write and the limit, in one run each."""
    install(session, "benchmarks", extra="cli")
    session.run("python", "-m", "benchmarks", *session.posargs)
