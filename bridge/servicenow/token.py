"""The token endpoint: a grant goes in, a token comes out. requests-oauthlib speaks the protocol, `post` does the I/O.

A token request applies nothing, so whatever goes wrong with one is Transient: not applied.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import requests
from oauthlib.oauth2 import BackendApplicationClient, Client, LegacyApplicationClient, MissingTokenError, OAuth2Error
from requests_oauthlib import OAuth2Session

from bridge.errors import Transient
from bridge.servicenow import outcome
from bridge.servicenow.auth import ClientCredentials, Grant, JwtBearer, Password
from bridge.servicenow.outcome import Raw

PATH = "/oauth_token.do"
RENEW_SECONDS_BEFORE = 60.0
LIFE_SECONDS_MIN = 1.0  # of a token that is about to expire: nothing is asked again sooner
LIFE_SECONDS_MAX = 86_400.0
REFUSED_SECONDS = 300.0  # how long the endpoint is left alone with credentials that it has refused

# At DEBUG it tells bodies and tokens.
logging.getLogger("requests_oauthlib").setLevel(logging.WARNING)

Post = Callable[[Mapping[str, str]], Raw]  # sends a form to PATH once, before the call's deadline; raises Transient


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """Times are readings of the monotonic clock; infinite when ServiceNow names no end."""

    value: str = field(repr=False)
    renew_at: float
    expires_at: float
    refresh: str | None = field(repr=False)

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.value}"}


class JwtBearerClient(BackendApplicationClient):
    grant_type = "urn:ietf:params:oauth:grant-type:jwt-bearer"


CLIENTS: dict[type[Grant], type[Client]] = {
    Password: LegacyApplicationClient,
    ClientCredentials: BackendApplicationClient,
    JwtBearer: JwtBearerClient,
}

# The endpoint's `error` -> what a person should do. ServiceNow says `server_error`, `access_denied` of almost anything.
REMEDIES = {
    "invalid_client": "Correct client_id and client_secret, and see that the OAuth application is active.",
    "unauthorized_client": "Let this OAuth application use the grant, or choose another scheme.",
    "unsupported_grant_type": "Let the instance take this grant, or choose another scheme.",
}
REFUSED = frozenset({"token_refused", "invalid_client", "invalid_grant", "unauthorized_client"})  # codes
REMEDY_OF: dict[type[Grant], str] = {
    Password: "Check in this order: client_secret, user name and password, that the user is active, not locked out and "
    "need not set a new password, and that multi-factor authentication is not asked of it.",
    ClientCredentials: "Check in this order: client_secret, the property "
    "glide.oauth.inbound.client.credential.grant_type.enabled, and that the application names an OAuth user.",
    JwtBearer: "Check in this order: client_secret, that key_id is a JWT verifier map whose certificate is that of "
    "private_key, that `user` is the field of an active user that the application looks at, and this machine's clock.",
}


def fetch(grant: Grant, refresh: str | None, *, post: Post, now: datetime, sent_at: float) -> Token:
    """A new token, for the refresh token where there is one. Raises Transient; the code of a refusal is in REFUSED."""
    try:
        parameters: dict[str, Any] = {} if refresh is not None else dict(grant.parameters(now))
    except ValueError as error:  # the key's file was changed since the start
        raise Transient("key_unusable", f"The private key {error}.", retry_after=REFUSED_SECONDS) from error
    client: dict[str, Any] = {"client_secret": grant.client_secret} if grant.client_secret is not None else {}
    session = _Session(post, CLIENTS[type(grant)](grant.client_id))
    try:
        if refresh is not None:
            session.refresh_token(_URL, refresh_token=refresh, client_id=grant.client_id, **client)
        else:
            # A public client is known by the assertion's issuer alone.
            session.fetch_token(_URL, include_client_id=grant.client_secret is not None, **client, **parameters)
    except MissingTokenError as error:
        raise _unreadable() from error
    except OAuth2Error as error:
        raise _refused(grant, str(error.error), session.raw) from error
    except (ValueError, TypeError, AttributeError) as error:  # the library is not made for answers of any shape
        raise _unreadable() from error
    finally:
        session.close()
    return _token(session.token, sent_at)


def _refused(grant: Grant, error: str, raw: Raw | None) -> Transient:
    code = error if error in REFUSED else "token_refused"
    remedy = REMEDIES.get(error, REMEDY_OF[type(grant)])
    said = outcome.sentence(raw, remedy) if raw is not None else remedy
    return Transient(code, f"No token was given: {said}", retry_after=REFUSED_SECONDS)


def _token(answer: Mapping[str, Any], sent_at: float) -> Token:
    value, refresh, life = answer.get("access_token"), answer.get("refresh_token"), answer.get("expires_in")
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or " " in value or not value:
        raise _unreadable()
    seconds = float("inf")
    if isinstance(life, int | float) and not isinstance(life, bool):
        seconds = float(min(max(life, LIFE_SECONDS_MIN), LIFE_SECONDS_MAX))
    # ServiceNow gives the same token again until it expires: half of what is left is used before the next try.
    before = min(RENEW_SECONDS_BEFORE, seconds / 2) if seconds > LIFE_SECONDS_MIN else 0.0
    return Token(
        value=value,
        renew_at=sent_at + seconds - before,
        expires_at=sent_at + seconds,
        refresh=refresh if isinstance(refresh, str) and refresh else None,
    )


def _unreadable() -> Transient:
    return Transient("no_token", outcome.TOKENLESS)


# Only its scheme is looked at, by the library, which knows no loopback addresses; `post` has the address.
_URL = f"https://instance.invalid{PATH}"


class _Session(OAuth2Session):
    """Prepares requests and reads answers. It opens no connection: `post` does."""

    def __init__(self, post: Post, client: Client) -> None:
        super().__init__(client=client)
        self._post = post
        self.raw: Raw | None = None

    def request(self, method: str | bytes, url: str | bytes, *_args: Any, **given: Any) -> requests.Response:
        self.raw = self._post(given["data"])
        outcome.of_token(self.raw)
        response = requests.Response()
        response.status_code = self.raw.status
        response.raw = io.BytesIO(self.raw.body or b"")
        response.encoding = "utf-8"
        response.request = requests.Request(str(method), str(url)).prepare()
        return response
