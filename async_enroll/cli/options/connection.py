"""Connection options: the site and its credentials, from arguments and the environment."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Annotated

from attrs import field, frozen
from cyclopts import Group, Parameter

from async_enroll.cli.console import warn
from async_enroll.cli.options.flag import Flag
from async_enroll.cli.options.logs import start_logging
from async_enroll.cli.options.profiles import (
    Profile,
    is_exposed,
    profile_named,
    profiles,
    secret_in,
)
from async_enroll.cli.options.seconds import Seconds
from async_enroll.cli.options.tuning import Tuning
from async_enroll.client import EnrollmentClient
from async_enroll.client.window_name import credentials_digest
from async_enroll.delivery.event_log import OnEvent
from async_enroll.errors import ConfigurationError
from async_enroll.http.client_credentials import ClientCredentials
from async_enroll.http.site import site_url
from async_enroll.http.tokens import BearerToken
from async_enroll.http.transport import Transport
from async_enroll.models import ListingKind

_URL = "ASYNC_ENROLL_URL"
_TOKEN = "ASYNC_ENROLL_TOKEN"  # noqa: S105  # its name
_CLIENT_ID = "ASYNC_ENROLL_CLIENT_ID"
_SECRET = "ASYNC_ENROLL_CLIENT_SECRET"  # noqa: S105  # its name
_SECRET_FILE = "ASYNC_ENROLL_CLIENT_SECRET_FILE"  # noqa: S105  # its name
_SHARED_WINDOW = "ASYNC_ENROLL_SHARED_WINDOW"


@Parameter(name="*", group=Group("Connection", sort_key=2))
@frozen(kw_only=True)
class Connection:
    """The options of all commands that connect to a site."""

    profile: Annotated[
        str | None, Parameter(name="--site", env_var="ASYNC_ENROLL_SITE", metavar="NAME")
    ] = None
    """Site of the configuration file, [site.NAME]. Default: the only one there."""
    url: Annotated[str | None, Parameter(env_var=_URL)] = None
    """URL of the site, such as https://courses.example.org."""
    token_file: Path | None = None
    """File that contains the access token. Overrides ASYNC_ENROLL_TOKEN."""
    client_cert: Annotated[Path | None, Parameter(metavar="FILE")] = None
    """Client certificate and its key, in PEM, if the site requires one."""
    allow_http: Flag = False
    """Allow unencrypted http to other machines. Exposes the token to the network."""
    no_proxy: Flag = False
    """Connect directly, whatever HTTPS_PROXY and HTTP_PROXY say."""
    timeout: Seconds = 60.0
    """Seconds to wait for the response to a call."""
    listing: ListingKind = "auto"
    """API to list enrollments with: so2 (MOOCit's reporting API) or core (Open edX)."""
    shared_window: Annotated[
        str | None, Parameter(env_var=_SHARED_WINDOW, metavar="URL", show_default=False)
    ] = field(default=None, repr=False)
    """Where commands share the request window: redis://…, file:///… or none. Default: a file."""

    log_file: Annotated[Path | None, Parameter(metavar="FILE")] = None
    """Append a log to this file, readable only by you. No tokens, and no learners without -v."""
    verbose: Annotated[Flag, Parameter(alias="-v")] = False
    """Show the log on standard error, with a line per call. Also for --log-file."""

    def client(self, *, concurrency: int, on_event: OnEvent | None = None) -> EnrollmentClient:
        """A client for queries. Raises ConfigurationError for invalid options."""
        start_logging(self.log_file, verbose=self.verbose)
        site, auth = self.site(), self._auth()
        return EnrollmentClient(
            site,
            auth,
            shared_window=self.window_url(self._window_name(auth)),
            concurrency=concurrency,
            timeout=self.timeout,
            listing=self.listing,
            ssl_context=self._tls(),
            trust_env=not self.no_proxy,
            allow_http=self.allow_http,
            on_event=on_event,
        )

    def client_for(self, tuning: Tuning, on_event: OnEvent | None = None) -> EnrollmentClient:
        """A client for jobs. Raises ConfigurationError for invalid options."""
        start_logging(self.log_file, verbose=self.verbose)
        site, auth = self.site(), self._auth()
        return EnrollmentClient(
            site,
            auth,
            window=tuning.window(),
            shared_window=self.window_url(self._window_name(auth)),
            concurrency=tuning.concurrency,
            batch=tuning.limits(),
            timeout=self.timeout,
            settle=tuning.settle,
            patience=tuning.patience,
            listing=self.listing,
            ssl_context=self._tls(),
            trust_env=not self.no_proxy,
            allow_http=self.allow_http,
            on_event=on_event,
        )

    def transport(self) -> Transport:
        """A transport for single calls. Raises ConfigurationError for invalid options."""
        start_logging(self.log_file, verbose=self.verbose)
        return Transport(
            site_url(self.site(), allow_http=self.allow_http),
            self._auth(),
            timeout=self.timeout,
            session=None,
            ssl_context=self._tls(),
            trust_env=not self.no_proxy,
        )

    def site(self) -> str:
        """The URL of the site. Raises ConfigurationError if there is none."""
        if not self.url:
            known = " or ".join(f"--site {name}" for name in profiles())
            raise ConfigurationError(
                f"no site URL: set {_URL} or use --url" + (f", or use {known}" if known else "")
            )
        return self.url

    def window_url(self, name: str) -> str | None:
        """Where the request window is shared: by default in a file of this user, under `name`."""
        if self.shared_window:
            return None if self.shared_window.lower() == "none" else self.shared_window
        return f"file:///?name={name}"

    def _window_name(self, auth: BearerToken | ClientCredentials) -> str:
        """One name for all commands with this site and token."""
        return credentials_digest(site_url(self.site(), allow_http=self.allow_http), auth)

    def _tls(self) -> ssl.SSLContext | None:
        if self.client_cert is None:
            return None
        path, context = self.client_cert, ssl.create_default_context()
        try:
            with path.open("rb") as file:
                if is_exposed(file.fileno()):
                    _warn_exposed(path)
            context.load_cert_chain(path, password=lambda: "")  # else OpenSSL prompts for it
        except ssl.SSLError:
            raise ConfigurationError(
                f"client certificate {path}: expected a certificate and its key "
                "in PEM, without a passphrase"
            ) from None
        except OSError as error:
            raise ConfigurationError(f"client certificate {path}: {error.strerror}") from None
        return context

    def _auth(self) -> BearerToken | ClientCredentials:
        """The credentials. Raises ConfigurationError if they are missing or ambiguous.

        A file named on the command line takes precedence over the environment, and that over
        the profile.
        """
        if self.token_file is not None:
            return BearerToken(_content("token file", self.token_file))
        token, credentials = os.environ.get(_TOKEN), _credentials()
        if token and credentials:
            raise ConfigurationError(
                f"both a token and client credentials are set: unset {_TOKEN} or {_CLIENT_ID}"
            )
        if credentials:
            return credentials
        if token:
            return BearerToken(token)
        profile = self._used()
        if profile is not None and profile.credentials:
            return of_profile(profile)
        also = f", or add token_file to {profile}" if profile else ""
        raise ConfigurationError(
            f"no credentials: set {_TOKEN} or use --token-file, "
            f"or set {_CLIENT_ID} and {_SECRET}{also}"
        )

    def _used(self) -> Profile | None:
        return None if self.profile is None else profile_named(self.profile)


def of_profile(profile: Profile) -> BearerToken | ClientCredentials:
    """The credentials of a profile that has some.

    Raises:
        ConfigurationError: they cannot be read, or other users can read them.

    """
    if "token_file" in profile.credentials:
        return BearerToken(profile.secret("token_file"))
    client_id = profile.credentials["client_id"]
    return ClientCredentials(client_id, profile.secret("client_secret_file"))


def _credentials() -> ClientCredentials | None:
    """Client ID and secret from the environment; None if it has neither."""
    client_id, secret, file = map(os.environ.get, (_CLIENT_ID, _SECRET, _SECRET_FILE))
    if not (client_id or secret or file):
        return None
    if not client_id:
        raise ConfigurationError(f"client secret without an ID: set {_CLIENT_ID}")
    if secret and file:
        raise ConfigurationError(f"two client secrets: unset {_SECRET} or {_SECRET_FILE}")
    if file:
        secret = _content("client secret file", Path(file))
    if not secret:
        raise ConfigurationError(f"client ID without a secret: set {_SECRET} or {_SECRET_FILE}")
    return ClientCredentials(client_id, secret)


def _content(kind: str, path: Path) -> str:
    # Only a warning: services and containers are given files that a group can read.
    content, exposed = secret_in(path, f"{kind} ", strict=False)
    if exposed:
        _warn_exposed(path)
    return content


def _warn_exposed(path: Path) -> None:
    warn(f"{path} can be read by other users; restrict it: chmod 600 {path}")
