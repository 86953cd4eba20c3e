"""OAuth tokens that were given out: one access token per client and user until it expires, then another."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from secrets import token_urlsafe


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    value: str
    client: str
    user: str
    expires: datetime

    def seconds_left(self, now: datetime) -> int:
        """One less than there are: a fresh token of 1800 s says 1799 [OFFICIAL samples]."""
        return max(int((self.expires - now).total_seconds()) - 1, 0)


class Tokens:
    """Not locked: its owner is."""

    def __init__(self) -> None:
        self._access: dict[tuple[str, str], Token] = {}
        self._refresh: dict[tuple[str, str], Token] = {}
        self.seen_jtis: set[tuple[str, str]] = set()  # (client, jti)

    def access(self, client: str, user: str, seconds: int, *, now: datetime) -> Token:
        """The current one while it lasts: asking again neither renews nor revokes [OFFICIAL]."""
        return _current(self._access, client, user, seconds, now=now)

    def refresh(self, client: str, user: str, seconds: int, *, now: datetime) -> Token:
        return _current(self._refresh, client, user, seconds, now=now)

    def user_of(self, value: str, *, now: datetime) -> str:
        """Whose access token it is; "" when it is none, is expired or was revoked."""
        found = (token.user for token in self._access.values() if token.value == value and token.expires > now)
        return next(found, "")

    def refreshed_user(self, client: str, value: str, *, now: datetime) -> str:
        """Whose refresh token of `client` it is; "" when it is none, is expired or was revoked."""
        given = (token for token in self._refresh.values() if token.value == value and token.client == client)
        return next((token.user for token in given if token.expires > now), "")

    def forget(self, user: str = "", *, refresh: bool) -> int:
        """End the access tokens of `user` (of all: "") at once, and with `refresh` those too. How many ended."""
        kinds = (self._access, self._refresh) if refresh else (self._access,)
        ended = 0
        for tokens in kinds:
            for key in [key for key in tokens if user in ("", key[1])]:
                del tokens[key]
                ended += 1
        return ended


def _current(tokens: dict[tuple[str, str], Token], client: str, user: str, seconds: int, *, now: datetime) -> Token:
    token = tokens.get((client, user))
    if token is None or token.expires <= now:
        token = Token(value=token_urlsafe(48), client=client, user=user, expires=now + timedelta(seconds=seconds))
        tokens[client, user] = token
    return token
