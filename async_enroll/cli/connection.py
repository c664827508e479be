"""Which site, and with which token: from options and the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from attrs import frozen
from cyclopts import Group, Parameter
from cyclopts.types import PositiveFloat

from async_enroll.auth import BearerToken
from async_enroll.chronicle import OnEvent
from async_enroll.cli.console import warn
from async_enroll.cli.flag import Flag
from async_enroll.cli.tuning import Tuning
from async_enroll.client import EnrollmentClient
from async_enroll.errors import ConfigurationError
from async_enroll.models import ListingKind
from async_enroll.transport import Transport, site_url

_URL = "ASYNC_ENROLL_URL"
_TOKEN = "ASYNC_ENROLL_TOKEN"  # noqa: S105  # its name
_READABLE_BY_OTHERS = 0o044


@Parameter(name="*", group=Group("Connection", sort_key=2))
@frozen(kw_only=True)
class Connection:
    """The options that all commands which speak to a site have in common."""

    url: Annotated[str | None, Parameter(env_var=_URL)] = None
    """The site, like https://courses.example.org."""
    token_file: Path | None = None
    """A file that holds the token; without it, ASYNC_ENROLL_TOKEN does."""
    allow_http: Flag = False
    """Use plain http also beyond this machine: everyone on the way can read the token."""
    timeout: PositiveFloat = 60.0
    """Seconds to wait for the answer to a call."""
    listing: ListingKind = "auto"
    """Where enrollments are read: so2, MOOCit's reporting API; core, Open edX's own list."""

    def client(self, *, concurrency: int) -> EnrollmentClient:
        """A client for the site, for queries. Raises ConfigurationError for what cannot work."""
        return EnrollmentClient(
            self.site(),
            self._token(),
            concurrency=concurrency,
            timeout=self.timeout,
            listing=self.listing,
            allow_http=self.allow_http,
        )

    def client_for(self, tuning: Tuning, on_event: OnEvent | None = None) -> EnrollmentClient:
        """A client for the site, for jobs. Raises ConfigurationError for what cannot work."""
        return EnrollmentClient(
            self.site(),
            self._token(),
            window=tuning.window(),
            concurrency=tuning.concurrency,
            batch=tuning.limits(),
            settle=tuning.settle,
            timeout=self.timeout,
            listing=self.listing,
            allow_http=self.allow_http,
            on_event=on_event,
        )

    def transport(self) -> Transport:
        """Single exchanges with the site. Raises ConfigurationError for what cannot work."""
        site = site_url(self.site(), allow_http=self.allow_http)
        return Transport(site, BearerToken(self._token()), timeout=self.timeout, session=None)

    def site(self) -> str:
        """The site. Raises ConfigurationError where none is given."""
        if not self.url:
            raise ConfigurationError(f"no site is given: set {_URL} or use --url")
        return self.url

    def _token(self) -> str:
        if self.token_file is not None:
            return _token_in(self.token_file)
        token = os.environ.get(_TOKEN)
        if not token:
            raise ConfigurationError(f"no token is given: set {_TOKEN} or use --token-file")
        return token


def _token_in(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            if os.fstat(file.fileno()).st_mode & _READABLE_BY_OTHERS:
                warn(f"{path} can be read by others; make it yours alone: chmod 600 {path}")
            return file.read()
    except OSError as error:
        raise ConfigurationError(f"token file {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"token file {path}: not a text file") from None
