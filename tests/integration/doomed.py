"""A process that lives through a scenario and dies, for real, at the crash point that it is told. Started by tests.

Steps are done in order, and which were done is kept in a file: the process that comes after goes on with the step in
which the one before died, as senders and people go on who were not answered. So is what senders were answered, which
the store is judged by.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import update

from bridge import crashpoint
from bridge.dictionary.reading import Reading
from bridge.erasure import Order, erase
from bridge.library import Library, Published
from bridge.log.note import Signer
from bridge.mapping.load import compile_files
from bridge.metrics import Metrics
from bridge.pruning import Pruner
from bridge.sealer import Sealer
from bridge.servicenow.client import Client
from bridge.servicenow.table import TableApi
from bridge.settings import AuthScheme, Close, Instance, InstanceAuth, Retention, Secret, Target
from bridge.sources.mention import Identifier
from bridge.store import orders, prepare, queries, tables
from bridge.store.calls import CallShare, Slots
from bridge.store.engine import Store, open_store
from bridge.store.mentions import mentions_of
from bridge.store.prepare import PreparedDelivery
from bridge.store.pruning_tables import prunings
from bridge.store.reconciler_tables import reconcilers, strays
from bridge.store.replay import quarantined, replay
from bridge.store.revisions import register
from bridge.store.statement_tables import statements
from bridge.store.stating import DAY, midnight
from bridge.store.writer import Writer
from bridge.sync.alert import Alerts
from bridge.sync.hastening import Hastening
from bridge.sync.lamps import Lamps
from bridge.sync.reconciler import Reconciler
from bridge.sync.stating import Stating
from bridge.sync.worker import Worker
from bridge.wiring import since_boot

DIED = 77  # exit status
INSTALLATION = "0a1b2c3d"
PASSWORD, SECRET = "DOOMED_PASSWORD", "DOOMED_SECRET"
CLIENT_ID = "bridge-client"
SIGNING_KEY = Ed25519PrivateKey.from_private_bytes(bytes([7] * 32))
LONG_AGO = timedelta(hours=1)
LONG_KEPT = timedelta(days=365)
ROUNDS_MAX = 200
TARGET = Target(
    name="itsm",
    instance="test",
    table="incident",
    close=Close(state="6", code="Solution provided", notes="The source reports this resolved."),
)
MAPPING = """
mapping: probe
version: 1
owner: tests@corp.example
each: {{in: ".alerts[]"}}
extract: {{rule: {rule}, level: .level, kind: .kind, team: .team ?? "Service Desk"}}
severity: {{from: level, table: {{critical: critical, low: low}}, default: medium}}
correlation:
  id: "{{{{ rule }}}}"
  display: Probe
  close_when: {{.state: resolved}}
  join: [{{same: [.shared], within: 4h}}]
suppress:
  - {{name: noise, reason: a test, permanent: true, when: {{kind: noisy}}}}
route: [{{to: itsm, assignment_group: "{{{{ team }}}}"}}]
fields:
  create: {{short_description: "{{{{ rule }}}}", impact: {{by: severity, table: {{critical: 1}}, default: 3}}}}
  update: {{description: "Last level: {{{{ level ?? \\"none\\" }}}}"}}
attach: true
"""
# What a later revision of the mapping can make of what the first one could not.
FIRST, LATER = MAPPING.format(rule=".rule"), MAPPING.format(rule=".rule ?? .name")


@dataclass(frozen=True, slots=True)
class Progress:
    """What no process may forget: a line each, of steps that were done and of deliveries that were answered."""

    file: Path

    def steps(self) -> int:
        return len(self._lines("step"))

    def answered(self) -> dict[str, list[str]]:
        """By what its sender calls a delivery, the ids of alerts that it was answered."""
        return {line["delivery"]: line["alerts"] for line in self._lines("delivery")}

    def note(self, **line: object) -> None:
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def _lines(self, word: str) -> list[dict[str, Any]]:
        lines = self.file.read_text("utf-8").splitlines() if self.file.exists() else []
        return [line for line in map(json.loads, lines) if word in line]


@dataclass(slots=True)
class Place:
    """The bridge's halves in this process, and ServiceNow's admin routes at hand."""

    store: Store
    servicenow: str
    client: Client
    library: Library
    later: Library
    writer: Writer
    worker: Worker
    second: Worker
    reconciler: Reconciler
    sealer: Sealer
    progress: Progress
    meanwhile: dict[str, Callable[[], None]] = field(default_factory=dict)  # by point: done once when it is passed

    def deliver(self, sender_id: str, *alerts: dict[str, Any]) -> None:
        published = self.library["probe"]
        body = json.dumps({"alerts": alerts}).encode()
        one = PreparedDelivery(
            source="probe",
            tenant="default",
            mapping="probe",
            revision_id=published.revision_id,
            revision=published.revision,
            sender_id=sender_id,
            content_type="application/json",
            body=body,
            fingerprint=prepare.fingerprint("probe", sender_id, body),
            alerts=prepare.map_content(published.mapping, body, now=self.store.moment()),
        )
        answer = self.writer.submit(one)
        self.progress.note(delivery=sender_id, alerts=[f"{answer.delivery}-{one.position}" for one in answer.alerts])

    def fire(self, sender_id: str, rule: str = "r1", **more: str) -> None:
        self.deliver(sender_id, {"rule": rule, "level": "low"} | more)

    def idle(self) -> None:
        for _ in range(ROUNDS_MAX):
            if not self.worker.work():
                return
        raise AssertionError("the worker does not come to rest")

    def time_passes(self) -> None:
        """An hour, for all that waits: leases of the dead have run out, windows are over, what was put off is due."""
        with self.store.transaction() as tx:
            now = self.store.now(tx)
            past = now - LONG_AGO
            for leased in (tables.incidents, tables.additions, reconcilers):
                tx.execute(update(leased).where(leased.c.lease_until.is_not(None)).values(lease_until=past))
            tx.execute(update(tables.intents).values(deadline=past))
            tx.execute(
                update(tables.additions).where(tables.additions.c.sent_until.is_not(None)).values(sent_until=past)
            )
            for timed in (tables.correlations, tables.additions, strays):
                tx.execute(update(timed).where(timed.c.due_at.is_not(None)).values(due_at=past))
            tx.execute(update(reconcilers).values(due_at=past, sweep_at=past))

    def second_round(self) -> None:
        self.second.work()

    def until_rest(self) -> None:
        for _ in range(4):
            self.time_passes()
            self.idle()

    def turn(self) -> None:
        self.time_passes()
        self.reconciler.sweep()
        self.idle()

    def ask_sync(self, rule: str = "r1") -> None:
        with self.store.transaction() as tx:
            orders.ask_sync(tx, queries.find_correlations(tx, rule), actor="test", now=self.store.now(tx))

    def seal(self) -> None:
        self.sealer.finish()
        assert self.sealer.problem() == ""

    # --- ServiceNow

    def fault(self, kind: str, method: str, path: str = "/table/incident", **more: Any) -> None:
        self._post("/simulator/faults", {"kind": kind, "method": [method], "path": path} | more)

    def records(self) -> list[dict[str, str]]:
        query = {"sysparm_limit": "1000", "sysparm_query": "ORDERBYnumber", "sysparm_exclude_reference_link": "true"}
        answer = self._http("GET", "/api/now/v2/table/incident", params=query)
        return list(answer.json()["result"])

    def person(self, number: int = 0, **fields: str) -> None:
        self._post(f"/simulator/records/incident/{self.records()[number]['sys_id']}", {"fields": fields})

    def twin(self) -> None:
        """What a request that was believed lost makes when it is applied in the end."""
        there = self.records()
        if len(there) == 1:
            columns = ("correlation_id", "correlation_display", "short_description", "impact")
            self._post("/api/now/v2/table/incident", {name: there[0][name] for name in columns})

    def _post(self, path: str, body: Any) -> None:
        answer = self._http("POST", path, json=body)
        assert answer.ok, answer.text

    def _http(self, method: str, path: str, **more: Any) -> requests.Response:
        with requests.Session() as http:
            http.trust_env = False
            headers = {"Accept": "application/json"}
            return http.request(
                method, self.servicenow + path, auth=("bridge", "bridge"), headers=headers, timeout=20, **more
            )


# --- scenarios: each passes the points that are its own


def life(place: Place) -> Iterator[Callable[[], None]]:
    yield lambda: place.fire("d1")
    yield place.idle
    yield lambda: place.person(description="Seen by a person.")
    yield lambda: place.fire("d2", level="critical")
    yield place.idle
    yield lambda: place.fire("d3", level="critical")
    yield place.idle
    yield lambda: place.fire("d4", state="resolved")


def returning(place: Place) -> Iterator[Callable[[], None]]:
    """One of each write, and nobody but us."""
    yield lambda: place.fire("d1")
    yield place.idle
    yield lambda: place.fire("d2", level="critical")
    yield place.idle
    yield lambda: place.fire("d3", state="resolved")
    yield place.until_rest
    yield lambda: place.fire("d4")


def ended(place: Place) -> Iterator[Callable[[], None]]:
    yield lambda: place.fire("d1")
    yield place.idle
    yield place.turn
    yield lambda: place.person(state="7", close_code="Solution provided", close_notes="Done.")
    yield place.turn


def failing(place: Place) -> Iterator[Callable[[], None]]:
    yield lambda: place.fault("rate_limit", "POST", seconds=0)
    yield lambda: place.fire("d1")
    yield place.idle
    yield place.until_rest
    yield lambda: place.fault("reset_before_commit", "POST")
    yield lambda: place.fire("d2", "r2")
    yield place.idle
    yield place.until_rest
    yield lambda: place.fault("business_rule", "PATCH")
    yield lambda: place.fire("d3", state="resolved")
    yield place.until_rest
    yield place.ask_sync


def beside(place: Place) -> Iterator[Callable[[], None]]:
    yield lambda: place.fault("server_error", "POST", "/attachment")
    yield lambda: place.fire("d1")
    yield place.idle
    yield place.until_rest
    yield lambda: place.fault("acl", "POST", "/attachment")
    yield lambda: place.fire("d2", "r2")
    yield place.until_rest


def counted(place: Place) -> Iterator[Callable[[], None]]:
    yield lambda: place.fire("d1", kind="noisy")
    yield place.ask_sync
    yield place.idle


def unreadable(place: Place) -> Iterator[Callable[[], None]]:
    def written(applied: bytes | None) -> None:
        with place.store.transaction() as tx:
            tx.execute(update(tables.correlations).values(applied=applied, applied_seq=0))

    yield lambda: place.fire("d1")
    yield place.idle
    yield lambda: written(b"of a later version")
    yield lambda: place.fire("d2")
    yield place.idle
    yield lambda: written(None)
    yield place.ask_sync


def two_holders(place: Place) -> Iterator[Callable[[], None]]:
    """The second takes the first one's lease over while that waits for ServiceNow."""

    def overtaken() -> None:
        def second() -> None:
            place.time_passes()
            place.second.work()

        place.meanwhile["read:answered"] = second
        place.idle()

    yield lambda: place.fire("d1")
    yield place.idle
    yield lambda: place.fire("d2", level="critical")
    yield overtaken


def joined(place: Place) -> Iterator[Callable[[], None]]:
    def raced() -> None:
        place.meanwhile["read:send"] = place.second_round
        place.idle()

    yield lambda: place.fire("d1", shared="a")
    yield place.idle
    yield lambda: place.fire("d2", "r2", shared="a")
    yield place.idle
    yield place.until_rest
    yield lambda: place.deliver(
        "d3", {"rule": "r3", "shared": "b", "team": "SOC L1"}, {"rule": "r4", "shared": "b", "team": "SOC L2"}
    )
    yield raced
    yield place.until_rest


def let_go(place: Place) -> Iterator[Callable[[], None]]:
    def closed_before_it_was_told() -> None:
        place.meanwhile["joined:committed"] = lambda: place.person(
            state="7", close_code="Solution provided", close_notes="Done."
        )
        place.idle()

    yield lambda: place.fire("d1", shared="a")
    yield place.idle
    yield lambda: place.fire("d2", "r2", shared="a")
    yield closed_before_it_was_told
    yield place.until_rest


def twins(place: Place) -> Iterator[Callable[[], None]]:
    yield lambda: place.fire("d1")
    yield place.idle
    yield place.turn
    yield place.twin
    yield lambda: place.fault("server_error", "GET", "/table/incident/")
    yield place.turn
    yield place.turn
    yield place.turn


def twin_taken(place: Place) -> Iterator[Callable[[], None]]:
    yield lambda: place.fire("d1")
    yield place.idle
    yield place.turn
    yield place.twin
    yield lambda: place.person(1, assigned_to="fred", state="2")
    yield place.turn
    yield place.turn


def twin_kept(place: Place) -> Iterator[Callable[[], None]]:
    yield lambda: place.fire("d1")
    yield place.idle
    yield place.turn
    yield place.twin
    yield lambda: place.fault("business_rule", "PATCH")
    yield place.turn
    yield place.turn  # the younger of the two may have been the one that was known


def orphan(place: Place) -> Iterator[Callable[[], None]]:
    def made() -> None:
        if not place.records():
            columns = {"correlation_id": "r9", "correlation_display": f"Probe · {INSTALLATION}"}
            place._post("/api/now/v2/table/incident", columns | {"short_description": "of another database"})

    yield made
    yield place.turn
    yield place.turn


def looks(place: Place) -> Iterator[Callable[[], None]]:
    """What is looked at beside the rounds, now and then."""
    targets = {"itsm": TARGET}
    hastening = Hastening(store=place.store, targets=targets, clients={"test": SimpleNamespace(mended=1)})
    lamps = Lamps(store=place.store, library=place.library, targets=targets, sources={}, attention=None)
    yield lambda: place.fire("d1")
    yield hastening.look
    yield lamps.look


def sealed(place: Place) -> Iterator[Callable[[], None]]:
    yield lambda: place.fire("d1")
    yield place.seal
    yield place.idle
    yield place.seal


def stated(place: Place) -> Iterator[Callable[[], None]]:
    """Two days have ended that nobody has stated; a process is told to stop while it states the first."""
    asked: list[bool] = []

    def stops() -> bool:
        asked.append(True)
        return len(asked) == 2

    def began() -> None:
        with place.store.transaction() as tx:
            day = midnight(place.store.now(tx)) - 2 * DAY
            tx.execute(tables.installation.delete())
            tx.execute(tables.installation.insert().values(id=INSTALLATION, created_at=day))
            tx.execute(update(statements).values(lease_until=None))

    yield lambda: place.fire("d1")
    yield began
    yield lambda: Stating(store=place.store, sources={}, log_kept=LONG_KEPT, stopping=stops).look()
    yield began  # a lease of one that died has run out
    yield lambda: Stating(store=place.store, sources={}, log_kept=LONG_KEPT, stopping=bool).look()


def replayed(place: Place) -> Iterator[Callable[[], None]]:
    def again() -> None:
        with place.store.reading() as tx:
            ids = quarantined(tx, source=None)
        replay(place.store, ids, library=place.later, mapping_of={"probe": "probe"}, actor="test")
        place.library = place.later

    yield lambda: place.deliver("d1", {"name": "r1", "level": "low"})
    yield again


def _over(place: Place, sender_id: str) -> Iterator[Callable[[], None]]:
    """A problem about a person comes and goes."""
    yield lambda: place.fire(sender_id, name="canary-7f3a")
    yield place.idle
    yield lambda: place.fire(f"{sender_id} over", state="resolved", name="canary-7f3a")
    yield place.idle


def erasing(place: Place) -> Iterator[Callable[[], None]]:
    yield from _over(place, "erased 1")
    yield lambda: _erase(place.store)
    yield lambda: place.fire("erased 2")
    yield place.idle


def pruning(place: Place) -> Iterator[Callable[[], None]]:
    yield from _over(place, "pruned 1")
    yield lambda: _age(place.store)
    yield lambda: Pruner(place.store, Retention()).look()
    yield lambda: place.fire("pruned 2")
    yield place.idle


def _erase(store: Store) -> None:
    found = mentions_of(store, Identifier("canary-7f3a"), looked=lambda _: None)
    erase(store, found, Order(kind="person", digest="", reason="", actor="cli:robin"), done=lambda _: None)


def _age(store: Store) -> None:
    """So that all bodies are old, and pruning is due again."""
    with store.transaction() as tx:
        old = store.now(tx) - timedelta(days=31)
        tx.execute(update(tables.deliveries).values(received_at=old))
        tx.execute(update(prunings).values(due_at=old, lease_until=None))


SCENARIOS = {
    **dict.fromkeys(("intake", "claim", "intent", "applied", "edited", "unwritten", "read", "write", "token"), life),
    **dict.fromkeys(("addition_claim", "addition_mark", "addition_done", "calls"), life),
    **dict.fromkeys(("turn", "page", "swept", "turn_over", "noticed"), ended),
    **dict.fromkeys(("not_applied", "failed", "window_over", "refused"), failing),
    **dict.fromkeys(("addition_again", "addition_refused", "addition_given_up"), beside),
    "counted": counted,
    "unreadable": unreadable,
    "lease_lost": two_holders,
    **dict.fromkeys(("joined", "not_begun"), joined),
    "let_go": let_go,
    **dict.fromkeys(("stray", "stray_later", "twin_intent", "twin_closed"), twins),
    "merged": twin_taken,
    "twin_told": twin_kept,
    "replay": replayed,
    "strays_gone": orphan,
    "seal": sealed,
    **dict.fromkeys(("hastened", "lamps"), looks),
    **dict.fromkeys(("statement_turn", "statement_left", "stated"), stated),
    "erased": erasing,
    **dict.fromkeys(("pruned", "prune_turn"), pruning),
}
LIVES = SCENARIOS | {"returning": returning}


def run(database: str, servicenow: str, life: str, point: str, nth: int, progress: str) -> None:
    """Live through one of LIVES. `point`: where to die with DIED, when it is passed the nth time; "": nowhere."""
    os.environ[PASSWORD], os.environ[SECRET] = "bridge", "secret"
    with contextlib.closing(open_store(database, lambda: datetime.now(UTC))) as store:  # noqa: TID251 (a process of its own)
        place = _place(store, servicenow, Progress(Path(progress)), oauth=life == "token")
        passings = itertools.count(1)
        crashpoint.listen(lambda name: _passed(place, name, dies=name == point and next(passings) == nth))
        done = place.progress.steps()
        place.time_passes()
        place.writer.start()
        for number, step in enumerate(LIVES[life](place)):
            if number >= done:
                step()
                place.progress.note(step=number)
        place.until_rest()
        place.writer.stop()


def _passed(place: Place, name: str, *, dies: bool) -> None:
    if dies:
        os._exit(DIED)
    if (what := place.meanwhile.pop(name, None)) is not None:
        what()


def _place(store: Store, servicenow: str, progress: Progress, *, oauth: bool) -> Place:
    password, secret = Secret(kind="env", name=PASSWORD), Secret(kind="env", name=SECRET)
    basic = InstanceAuth(scheme=AuthScheme.BASIC, username="bridge", password=password)
    token = InstanceAuth(scheme=AuthScheme.OAUTH_CLIENT_CREDENTIALS, client_id=CLIENT_ID, client_secret=secret)
    instance = Instance(name="test", url=servicenow, auth=token if oauth else basic)
    limits = instance.limits
    share = None
    if not store.is_sqlite:
        share = CallShare(
            store,
            Slots(store),
            "test",
            concurrent=limits.concurrent_calls,
            per_hour=limits.calls_per_hour,
            monotonic=since_boot,
        )
    client = Client(instance, clock=store.moment, monotonic=since_boot, share=share)
    libraries = [_library(store, text) for text in (FIRST, LATER)]
    shared: dict[str, Any] = {
        "store": store,
        "targets": {"itsm": TARGET},
        "tables": {"test": TableApi(client)},
        "reading_of": lambda _name: Reading(),
        "installation": INSTALLATION,
        "monotonic": since_boot,
        "jitter": lambda: 0.0,
    }
    workers = [Worker(alerts=Alerts(store, libraries[1]), metrics=Metrics(), **shared) for _ in range(2)]
    return Place(
        store=store,
        servicenow=servicenow,
        client=client,
        library=libraries[0],
        later=libraries[1],
        writer=Writer(store, on_commit=lambda: None, observe_queue=lambda _s: None, observe_commit=lambda _s: None),
        worker=workers[0],
        second=workers[1],
        sealer=Sealer(store, lambda: [Signer(f"incident-bridge/{INSTALLATION}", SIGNING_KEY)]),
        progress=progress,
        reconciler=Reconciler(calls_per_hour={"test": limits.calls_per_hour}, **shared),
    )


def _library(store: Store, text: str) -> Library:
    mapping = compile_files("probe", {"probe.yaml": text})
    with store.transaction() as tx:
        now = store.now(tx)
        revision = register(tx, mapping="probe", digest=mapping.digest, files=mapping.files, now=now)
    return Library({"probe": Published(mapping=mapping, revision_id=revision)})
