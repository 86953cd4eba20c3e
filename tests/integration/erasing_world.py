"""What the tests of erasure and retention share: a person whose values go through the whole engine, and a look at all
that the store holds."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from intake_world import alert, body_of, delivery, delivery_of, library_of
from sqlalchemy import select, update
from sync_world import PROBE, World, itsm

from bridge.erasure import Order, Outcome, erase, salted, survey
from bridge.settings import Close, Target
from bridge.simulator.faults import FaultKind
from bridge.sources.mention import Identifier
from bridge.store import intake
from bridge.store.engine import Store
from bridge.store.mentions import Mentions, mentions_of
from bridge.store.tables import additions, metadata

CANARY = "canary-7f3a"  # a person, in alerts
LONG = "a rule whose name goes on and on, " * 4

PERSONAL = (
    PROBE.replace("  team: .team", "  who: .who\n  team: .team")
    .replace('  id: "{{ rule }}"', '  id: "{{ rule }}"\n  join: [{same: [.who], within: 4h}]')
    .replace('short_description: "{{ rule }}"', 'short_description: "{{ rule }} by {{ who ?? \\"nobody\\" }}"')
    .replace('"Last level: {{ level', '"{{ who ?? \\"nobody\\" }} at {{ level')
    + "observables: {domain: .who}\nattach: true\n"
)


def sir() -> Target:
    return itsm(table="sn_si_incident", close=Close(state="3", code="102", notes="Resolved at the source."))


def personal(world: World, target: Target | None = None) -> World:
    world.library = library_of(world.store, PERSONAL)
    world.aim(target or itsm())
    return world


def lives(world: World) -> None:
    """A problem that is about the person, from its first alert to the end, and what else may hold a value."""
    world.fire("r1", level="low", who=CANARY)
    world.idle()
    world.fire("r1", level="high", who=CANARY)
    world.idle()
    world.fail(FaultKind.REFUSED, "PATCH", status=400, message=f"Not about {CANARY}", times=1)
    world.fire("r1", level="critical", who=CANARY)
    world.idle()
    world.ask_sync()
    world.idle()
    world.person(short_description=f"{CANARY} was it")
    world.turn()
    world.resolve("r1", who=CANARY)
    world.idle()
    world.fire(LONG + CANARY, state="resolved")
    wrapped = delivery(world.library, alert("r2", state="resolved"), sender_id=CANARY)
    twice = b'{"alerts": [{"%s": 1, "%s": 2}]}' % (CANARY.encode(), CANARY.encode())
    with world.store.transaction() as tx:
        now = world.store.now(tx)
        content = body_of(alert("r2", state="resolved", who=CANARY))
        received = f"application/json; who={CANARY}"
        intake.commit(tx, [replace(wrapped, content=content, content_type=received)], now)
        intake.commit(tx, [delivery_of(world.library, twice)], now)
        # What ServiceNow says of a refusal may quote what it refused.
        tx.execute(update(additions).where(additions.c.kind == "observables").values(outcome_text=f"no {CANARY}"))
    world.idle()


def found(store: Store, who: str = CANARY) -> Mentions:
    return mentions_of(store, Identifier(who), looked=lambda _: None)


def order(who: str = CANARY) -> Order:
    return Order(kind="person", digest=salted(who)[1], reason="request 1", actor="cli:robin")


def erased(store: Store, who: str = CANARY) -> Outcome:
    return erase(store, found(store, who), order(who), done=lambda _: None)


def surveyed(store: Store, who: str = CANARY) -> Outcome:
    return survey(store, found(store, who), order(who))


def holders(store: Store, text: str = CANARY) -> set[str]:
    """The columns of all tables in which it lies, however it is written there."""
    needle = text.lower()
    found = set()
    with store.reading() as tx:
        for table in metadata.tables.values():
            for row in tx.execute(select(table)):
                found |= {f"{table.name}.{name}" for name, value in row._mapping.items() if needle in _read(value)}
    return found


def _read(value: Any) -> str:
    if isinstance(value, bytes | memoryview):
        return bytes(value).decode("latin-1").lower()
    return json.dumps(value, default=str).lower()
