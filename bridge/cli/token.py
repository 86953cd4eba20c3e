"""`bridge token`: who may read over the API."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import click

from bridge.cli.log_filters import utf8
from bridge.cli.opening import actor, opened
from bridge.cli.options import config_option, example, json_option, limit_option
from bridge.cli.output import age, show_json, show_table, time_text, to_json

ROLES = ("auditor", "engineer", "admin")  # store.tokens.TokenRole; help needs no store
DAYS_DEFAULT, DAYS_MAX = 90, 366
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,59}")
RESERVED = "unknown"  # whom the log names where a token is none of ours


def _name(_context: click.Context, _option: click.Parameter, text: str) -> str:
    if not NAME.fullmatch(text) or text == RESERVED:
        wanted = "up to 60 of a-z, 0-9, `.`, `_`, `-`, as in siem-reader"
        raise click.BadParameter(f"{text!a} is no name for a token: {wanted}")
    return text


name_argument = click.argument("name", callback=_name)
role_type = click.Choice(ROLES)


@click.group(epilog=example("bridge token create siem-reader --role auditor", "bridge token list"))
def token() -> None:
    """Make, list and revoke the tokens that /api/v1 is read with.

    auditor reads the correlation log; engineer what has become of alerts; admin all. Each change, and that a token was
    used, is an entry of the log.
    """


@token.command("create", epilog=example("bridge token create siem-reader --role auditor --days 30"))
@name_argument
@click.option("--role", type=role_type, required=True, help="What it may be used for.")
@click.option(
    "--days",
    type=click.IntRange(1, DAYS_MAX),
    default=DAYS_DEFAULT,
    show_default=True,
    metavar="N",
    help=f"How long it is valid, {DAYS_MAX} at most.",
)
@config_option
def create_command(name: str, role: str, days: int, config: Path) -> None:
    """Make a token and print it. It is shown this once: the store keeps only its SHA-256."""
    from bridge.store.tokens import TokenRole, create

    with opened(config) as (_, store), store.transaction() as tx:
        now = store.now(tx)
        expires_at = now + timedelta(days=days)
        made = create(tx, name, TokenRole(role), expires_at=expires_at, actor=actor(), now=now)
    # It is durable. If we die here nobody has it: revoke it and make another.
    click.echo(made)
    click.echo(f"{name}: {role}, until {time_text(expires_at)}; it is not shown again", err=True)


@token.command("list", epilog=example("bridge token list --json"))
@config_option
@json_option("An array of objects")
@limit_option("The newest N.")
def list_command(config: Path, limit: int, *, as_json: bool) -> None:
    """All tokens, and when each was last signed in with.

    Those too that can no longer be used.
    """
    from bridge.store.tokens import listed

    with opened(config) as (_, store), store.reading() as tx:
        now, found = store.now(tx), listed(tx)[-limit:]
    if as_json:
        show_json([to_json(one) | {"state": one.state(now)} for one in found])
        return
    rows = [
        (
            one.name,
            one.role,
            one.state(now),
            time_text(one.expires_at),
            f"{age(one.used_at, now)} from {one.used_from}" if one.used_at else "never",
            one.created_by,
        )
        for one in found
    ]
    columns = ("TOKEN", "ROLE", "STATE", "EXPIRES", "USED", "CREATED BY")
    show_table(columns, rows, empty="There are no tokens: nobody can read over the API.")


@token.command("role", epilog=example("bridge token role siem-reader admin"))
@name_argument
@click.argument("role", type=role_type)
@config_option
def role_command(name: str, role: str, config: Path) -> None:
    """Give a token another role. It holds from its next request on."""
    from bridge.store.tokens import TokenRole, set_role

    with opened(config) as (_, store), store.transaction() as tx:
        changed = set_role(tx, name, TokenRole(role), actor=actor(), now=store.now(tx))
    click.echo(f"{name}: {role} from now on" if changed else f"{name}: was {role} already")


@token.command("revoke", epilog=example('bridge token revoke siem-reader --reason "it stood in a ticket"'))
@name_argument
@click.option("--reason", default="", callback=utf8, metavar="TEXT", help="Why; it stands in the log as written.")
@config_option
def revoke_command(name: str, reason: str, config: Path) -> None:
    """End a token for good. It is refused from its next request on, and its name is not given again."""
    from bridge.store.tokens import revoke

    with opened(config) as (_, store), store.transaction() as tx:
        done = revoke(tx, name, reason=reason, actor=actor(), now=store.now(tx))
    click.echo(f"{name}: revoked" if done else f"{name}: was revoked already")
