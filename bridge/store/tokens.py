"""API tokens: made, given another role, revoked, and signed in with. Each of these is an entry of the log.

A token is a secret of 256 random bits behind a prefix by which scanners of leaked secrets know it. It is shown once;
the store has its SHA-256, which tells nothing of it, and by which it is found without comparing secrets.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, select, update

from bridge.errors import Permanent
from bridge.log.entries import Action, Entry, append
from bridge.store.token_tables import tokens
from bridge.store.upsert import insert_into

PREFIX = "ibt_"
SECRET_BYTES = 32
TOKEN_CHARACTERS_MAX = 100  # a longer one is none of ours
KNOWN_BY = "api_token"  # Entry.known_by
SIGNED_IN_FOR = timedelta(hours=1)  # from the same address: then it is another sign-in


class TokenRole(StrEnum):
    """What a token may be used for; what a role is not named for is not allowed."""

    AUDITOR = "auditor"  # reads the log
    ENGINEER = "engineer"  # reads what the mappings have made of alerts
    ADMIN = "admin"  # all


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    id: int
    name: str
    role: TokenRole
    created_at: datetime
    created_by: str
    expires_at: datetime
    revoked_at: datetime | None
    used_at: datetime | None  # to within SIGNED_IN_FOR
    used_from: str | None

    def state(self, now: datetime) -> str:
        """valid | expired | revoked"""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at <= now else "valid"


def actor_of(name: str) -> str:
    return f"token:{name}"


def create(tx: Connection, name: str, role: TokenRole, *, expires_at: datetime, actor: str, now: datetime) -> str:
    """The token itself, which is nowhere else. Raises Permanent("token_there")."""
    token = f"{PREFIX}{secrets.token_urlsafe(SECRET_BYTES)}"
    row = {"name": name, "role": role.value, "digest": _digest(token), "created_at": now, "created_by": actor}
    new = insert_into(tx, tokens).values(**row, expires_at=expires_at).on_conflict_do_nothing()
    if tx.execute(new.returning(tokens.c.id)).first() is None:
        raise Permanent("token_there", f"there is, or was, a token {name}: names are not given twice, take another")
    _append(tx, Action.TOKEN_CREATED, name, actor, now, role=role.value, expires_at=expires_at.isoformat())
    return token


def listed(tx: Connection) -> list[Token]:
    return [_token(row) for row in tx.execute(select(tokens).order_by(tokens.c.id))]


def set_role(tx: Connection, name: str, role: TokenRole, *, actor: str, now: datetime) -> bool:
    """False: it had that role. Raises Permanent("no_token", "token_revoked", "token_expired")."""
    token = _usable(tx, name, now)
    if token.role is role:
        return False
    tx.execute(update(tokens).where(tokens.c.id == token.id).values(role=role.value))
    _append(tx, Action.TOKEN_ROLE_CHANGED, name, actor, now, before=token.role.value, after=role.value)
    return True


def revoke(tx: Connection, name: str, *, reason: str, actor: str, now: datetime) -> bool:
    """False: it was revoked already. Raises Permanent("no_token")."""
    token = _required(tx, name)
    if token.revoked_at is not None:
        return False
    tx.execute(update(tokens).where(tokens.c.id == token.id).values(revoked_at=now))
    _append(tx, Action.TOKEN_REVOKED, name, actor, now, reason=reason, role=token.role.value)
    return True


def may_be(presented: str) -> bool:
    """Whether it looks like a token of ours: nothing else is looked up."""
    return presented.startswith(PREFIX) and len(presented) <= TOKEN_CHARACTERS_MAX


def find(tx: Connection, presented: str) -> Token | None:
    if not may_be(presented):
        return None
    row = tx.execute(select(tokens).where(tokens.c.digest == _digest(presented))).one_or_none()
    return _token(row) if row is not None else None


def hold(tx: Connection, token: Token) -> Token:
    """As it is by now, held until the transaction ends: who ends it meanwhile waits."""
    return _token(tx.execute(select(tokens).where(tokens.c.id == token.id).with_for_update()).one())


def is_sign_in(token: Token, address: str, now: datetime) -> bool:
    """Whether this use of it is to be noted: the first, from another address than the last, or after an hour."""
    return token.used_at is None or token.used_from != address or now - token.used_at >= SIGNED_IN_FOR


def note_sign_in(tx: Connection, token: Token, address: str, now: datetime) -> None:
    tx.execute(update(tokens).where(tokens.c.id == token.id).values(used_at=now, used_from=address))
    entry = Entry(
        at=now,
        action=Action.SIGNED_IN,
        actor=actor_of(token.name),
        known_by=KNOWN_BY,
        address=address,
        detail={"role": token.role.value},
    )
    append(tx, entry)


def _append(
    tx: Connection, action: Action, name: str, actor: str, now: datetime, *, reason: str = "", **detail: str
) -> None:
    append(tx, Entry(at=now, action=action, actor=actor, reason=reason, detail={"token": name, **detail}))


def _named(tx: Connection, name: str) -> Token | None:
    """Held until the transaction ends: what is told of it is what it was."""
    row = tx.execute(select(tokens).where(tokens.c.name == name).with_for_update()).one_or_none()
    return _token(row) if row is not None else None


def _required(tx: Connection, name: str) -> Token:
    token = _named(tx, name)
    if token is None:
        raise Permanent("no_token", f"there is no token {name}: see `bridge token list`")
    return token


def _usable(tx: Connection, name: str, now: datetime) -> Token:
    token = _required(tx, name)
    if (state := token.state(now)) != "valid":
        raise Permanent(f"token_{state}", f"the token {name} is {state}, which is for good: create another")
    return token


def _token(row: Any) -> Token:
    return Token(
        id=row.id,
        name=row.name,
        role=TokenRole(row.role),
        created_at=row.created_at,
        created_by=row.created_by,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        used_at=row.used_at,
        used_from=row.used_from,
    )


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
