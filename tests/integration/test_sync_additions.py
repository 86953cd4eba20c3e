"""What goes with an incident, once: its alert attached, its observables linked; and never in the incident's way."""

from __future__ import annotations

import json

import pytest
from crashing import Crash, at
from intake_world import library_of, rows
from sqlalchemy import update
from sync_world import OBSERVE, PROBE, World, itsm

from bridge.errors import Transient
from bridge.servicenow.table import TableApi
from bridge.settings import Close, Target
from bridge.simulator.faults import Fault, FaultKind
from bridge.store import additions as store_additions
from bridge.store.held import LEASE
from bridge.store.tables import additions, deliveries

OBSERVED = PROBE + "observables: {ip: '.ips[]', domain: .domain, sha256: .hash, mutex: .mutex}\n"
ATTACHED = PROBE + "attach: true\n"
LOST = [FaultKind.RESET_AFTER_COMMIT, FaultKind.LATE_COMMIT, FaultKind.TRUNCATED, FaultKind.CANCELLED]
UNDONE = [FaultKind.RESET_BEFORE_COMMIT, FaultKind.RATE_LIMIT, FaultKind.SERVER_ERROR, FaultKind.UNAUTHENTICATED]
FAULTS = pytest.mark.parametrize("kind", [*LOST, *UNDONE], ids=str)


def sir() -> Target:
    return itsm(table="sn_si_incident", close=Close(state="3", code="102", notes="Resolved at the source."))


def maps(world: World, text: str, target: Target | None = None) -> None:
    world.library = library_of(world.store, text)
    world.aim(target or itsm())


def fault(world: World, kind: FaultKind, path: str, *methods: str, times: int | None = 1) -> None:
    world.simulator.faults.add(Fault(kind=kind, path=path, methods=frozenset(methods), seconds=90, times=times))


def linked(world: World) -> list[tuple[str, str, str]]:
    """(record, type, value) of every link, in the order they were made."""
    observables = {row["sys_id"]: row for row in world.simulator.records("sn_ti_observable")}
    types = {row["sys_id"]: row["value"] for row in world.simulator.records("sn_ti_observable_type")}
    numbers = {row["sys_id"]: row["number"] for row in world.records()}
    links = world.simulator.records("sn_ti_m2m_task_observable")
    found = [(numbers[link["task"]], observables[link["observable"]]) for link in links]
    return [(number, types[row["type"]], row["value"]) for number, row in found]


def outcomes(world: World) -> list[tuple[str, str | None, str | None]]:
    return [(row.kind, row.outcome, row.outcome_code) for row in rows(world.store, additions)]


# --- observables


def test_the_observables_of_a_security_incident_are_linked_after_its_create(anywhere: World) -> None:
    maps(anywhere, OBSERVED, sir())
    anywhere.fire(ips=["192.0.2.1", "2001:db8::1"], domain="evil.example")
    anywhere.idle()
    number = anywhere.record()["number"]
    assert linked(anywhere) == [
        (number, "ipv4-addr", "192.0.2.1"),
        (number, "ipv6-addr", "2001:db8::1"),
        (number, "domain-name", "evil.example"),
    ]
    (added,) = anywhere.log("added")
    assert (added["outcome"], added["detail"], added["number"]) == ("observables", {"wanted": 3}, number)


def test_an_observable_that_is_there_already_is_linked_and_not_made_again(world: World) -> None:
    maps(world, OBSERVED, sir())
    world.fire("r1", ips=["192.0.2.1"])
    world.fire("r2", ips=["192.0.2.1"])
    world.idle()
    assert [row["value"] for row in world.simulator.records("sn_ti_observable")] == ["192.0.2.1"]
    assert len(linked(world)) == 2


def test_an_observable_of_a_type_that_is_not_there_is_left_out_and_told(world: World) -> None:
    maps(world, OBSERVED, sir())
    world.fire(mutex="Global\\x", ips=["192.0.2.1"])
    world.idle()
    assert [value for _, _, value in linked(world)] == ["192.0.2.1"]
    assert world.log("added")[0]["detail"] == {"wanted": 2, "left_out": ["mutex: no such type"]}


def test_an_observable_that_would_be_another_query_is_left_out_and_told(world: World) -> None:
    maps(world, OBSERVED, sir())
    world.fire(domain="a^ORvalue=b")
    world.idle()
    assert linked(world) == []
    assert world.log("added")[0]["detail"]["left_out"] == ["domain: it cannot be looked up"]


def test_an_itsm_incident_has_no_observables(world: World) -> None:
    maps(world, OBSERVED)
    world.fire(ips=["192.0.2.1"])
    world.idle()
    assert outcomes(world) == []
    assert world.other_writes() == []


@FAULTS
@pytest.mark.parametrize("path", ["/table/sn_ti_observable?", "/table/sn_ti_m2m_task_observable?"])
def test_a_call_that_went_wrong_leaves_each_observable_linked_once(world: World, kind: FaultKind, path: str) -> None:
    maps(world, OBSERVED, sir())
    fault(world, kind, path, "POST")
    world.fire(ips=["192.0.2.1", "192.0.2.2"])
    world.idle()
    world.pass_time(minutes=12, step=30)
    assert sorted(value for _, _, value in linked(world)) == ["192.0.2.1", "192.0.2.2"]
    assert outcomes(world) == [("observables", "added", None)]


def test_what_was_linked_before_a_try_broke_off_is_not_linked_again(world: World) -> None:
    maps(world, OBSERVED, sir())
    path = "/table/sn_ti_m2m_task_observable?"
    stop = Fault(kind=FaultKind.RATE_LIMIT, path=path, methods=frozenset({"POST"}), after=1, seconds=1)
    world.simulator.faults.add(stop)
    world.fire(ips=["192.0.2.1", "192.0.2.2"], domain="192.0.2.1")
    world.idle()
    assert len(linked(world)) == 1
    world.pass_time(minutes=2, step=10)
    assert sorted((kind, value) for _, kind, value in linked(world)) == [
        ("domain-name", "192.0.2.1"),
        ("ipv4-addr", "192.0.2.1"),
        ("ipv4-addr", "192.0.2.2"),
    ]


def test_one_value_of_two_types_is_two_observables(world: World) -> None:
    maps(world, OBSERVED, sir())
    path = "/table/sn_ti_m2m_task_observable?"
    lost = Fault(kind=FaultKind.RESET_BEFORE_COMMIT, path=path, methods=frozenset({"POST"}), after=1)
    world.simulator.faults.add(lost)
    world.fire(ips=["192.0.2.1"], domain="192.0.2.1")
    world.idle()
    world.pass_time(minutes=12, step=30)
    assert sorted(kind for _, kind, _ in linked(world)) == ["domain-name", "ipv4-addr"]


def test_what_is_wrong_with_one_alert_is_told_of_its_incident_alone_and_each_time(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.servicenow.attachments.ATTACHMENT_BYTES_MAX", 1)
    maps(world, ATTACHED)
    world.fire("r1")
    world.fire("r2")
    world.idle()
    said = [record.getMessage() for record in caplog.records if "goes without" in record.getMessage()]
    assert [line.partition(": ")[0] for line in said] == [
        f"{record['number']} goes without its attachment" for record in world.records()
    ]


def test_without_threat_intelligence_incidents_go_without_observables_and_it_is_said_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    maps(world, OBSERVED, sir())
    world.simulator.missing = frozenset({"sn_ti"})
    for rule in ("r1", "r2"):
        world.fire(rule, ips=["192.0.2.1"])
    world.idle()
    assert outcomes(world) == [("observables", "given_up", "invalid_table")] * 2
    (said,) = [record.getMessage() for record in caplog.records if "goes without" in record.getMessage()]
    assert "Threat Intelligence is not installed" in said
    assert len(world.records()) == 2
    assert (world.row("r1").open, world.row("r1").failure) == (True, None)


# --- the alert as an attachment


def attached(world: World) -> list[tuple[str, str, object]]:
    """(record, file, document) of every attachment."""
    numbers = {row["sys_id"]: row["number"] for row in world.records()}
    files = world.simulator.files
    found = world.simulator.records("sys_attachment")
    return [(numbers[row["table_sys_id"]], row["file_name"], json.loads(files[row["sys_id"]])) for row in found]


def test_the_alert_is_attached_to_its_incident_as_it_came(anywhere: World) -> None:
    maps(anywhere, ATTACHED)
    anywhere.fire(level="high", host={"name": "ä", "count": 2**70})
    anywhere.idle()
    sent = {"rule": "r1", "level": "high", "host": {"name": "ä", "count": 2**70}}
    assert attached(anywhere) == [(anywhere.record()["number"], "alert-1-0.json", sent)]
    (added,) = anywhere.log("added")
    assert (added["outcome"], added["detail"]["file"]) == ("attachment", "alert-1-0.json")


def test_it_is_attached_once_however_often_the_problem_is_told(world: World) -> None:
    maps(world, ATTACHED)
    for level in ("low", "high", "critical"):
        world.fire(level=level)
        world.idle()
    world.resolve()
    world.idle()
    world.fire()
    world.idle()
    assert [file for _, file, _ in attached(world)] == ["alert-1-0.json"]


def test_a_new_incident_of_the_same_problem_has_its_own(world: World) -> None:
    maps(world, ATTACHED)
    world.fire()
    world.idle()
    world.resolve()
    world.idle()
    world.pass_time(days=8, step=86_400)
    world.fire()
    world.idle()
    old, new = world.records()
    assert [(number, file) for number, file, _ in attached(world)] == [
        (old["number"], "alert-1-0.json"),
        (new["number"], "alert-3-0.json"),
    ]


def test_without_attach_nothing_is_attached(world: World) -> None:
    world.fire()
    world.idle()
    assert world.other_writes() == []


def test_a_target_that_is_only_observed_attaches_nothing(world: World) -> None:
    maps(world, ATTACHED, itsm(mode=OBSERVE))
    world.fire()
    world.idle()
    assert outcomes(world) == []


@FAULTS
def test_an_upload_that_went_wrong_is_there_once(world: World, kind: FaultKind) -> None:
    maps(world, ATTACHED)
    fault(world, kind, "/attachment/file", "POST")
    world.fire()
    world.idle()
    world.pass_time(minutes=12, step=30)
    assert len(attached(world)) == 1
    assert outcomes(world) == [("attachment", "added", None)]


def test_an_upload_whose_outcome_was_noted_and_not_heard_of_is_there_once(world: World) -> None:
    """The worker takes the try for one that the store broke off; what is stored knows that something was sent."""
    maps(world, ATTACHED)
    fault(world, FaultKind.LATE_COMMIT, "/attachment/file", "POST")

    def unheard() -> None:
        raise Transient("store_unavailable", "the connection broke at the commit", retry_after=2)

    world.fire()
    with at("addition_again:committed", unheard):
        world.idle()
    world.pass_time(minutes=12, step=30)
    assert (len(attached(world)), outcomes(world)) == (1, [("attachment", "added", None)])


@FAULTS
def test_a_create_that_went_wrong_has_its_attachment_once(world: World, kind: FaultKind) -> None:
    maps(world, ATTACHED)
    fault(world, kind, "/table/incident", "POST")
    world.fire()
    world.idle()
    world.pass_time(minutes=12, step=30)
    assert len(attached(world)) == 1


@pytest.mark.parametrize("sent", [False, True], ids=["before the upload", "after the upload"])
def test_a_crash_around_the_upload_neither_loses_nor_doubles_it(
    world: World, monkeypatch: pytest.MonkeyPatch, *, sent: bool
) -> None:
    from bridge.servicenow import attachments

    maps(world, ATTACHED)
    real = attachments.attach

    def dies(*args: object, **more: object) -> None:
        if sent:
            real(*args, **more)  # type: ignore[arg-type]
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(attachments, "attach", dies)
        world.fire()
        with pytest.raises(Crash):
            world.idle()
    world.idle()  # the lease is still held
    world.pass_time(minutes=12, step=30)
    assert len(attached(world)) == 1


def test_a_crash_before_the_create_is_settled_does_not_lose_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    maps(world, ATTACHED)
    real = TableApi.create

    def dies(*args: object, **more: object) -> None:
        real(*args, **more)  # type: ignore[arg-type]
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(TableApi, "create", dies)
        world.fire()
        with pytest.raises(Crash):
            world.idle()
    world.pass_time(minutes=12, step=30)
    assert len(attached(world)) == 1


def test_a_refusal_is_told_and_given_up_and_the_incident_goes_on(world: World) -> None:
    maps(world, ATTACHED)
    fault(world, FaultKind.ACL, "/attachment/file", "POST", times=None)
    world.fire(level="low")
    world.idle()
    assert outcomes(world) == [("attachment", "given_up", "acl")]
    (failed,) = world.log("failed")
    assert (failed["outcome"], failed["reason"], failed["detail"]["addition"]) == ("given up", "acl", "attachment")
    world.fire(level="critical")
    world.idle()
    assert world.record()["impact"] == "1"
    assert world.row().failure is None
    assert world.other_writes().__len__() == 1


def test_attachments_that_may_not_be_listed_are_uploaded_but_never_twice(world: World) -> None:
    maps(world, ATTACHED)
    fault(world, FaultKind.ACL, "/attachment?", "GET", times=None)
    world.fire("r1")
    world.idle()
    assert outcomes(world) == [("attachment", "added", None)]
    fault(world, FaultKind.RESET_AFTER_COMMIT, "/attachment/file", "POST")
    world.fire("r2")
    world.idle()
    world.pass_time(minutes=12, step=30)
    assert len(attached(world)) == 2
    assert outcomes(world)[1] == ("attachment", "given_up", "query_rights")


def test_what_was_given_up_is_tried_again_when_a_person_asks(anywhere: World) -> None:
    maps(anywhere, ATTACHED)
    fault(anywhere, FaultKind.ACL, "/attachment/file", "POST")
    anywhere.fire()
    anywhere.idle()
    assert attached(anywhere) == []
    anywhere.ask_sync()
    anywhere.idle()
    assert len(attached(anywhere)) == 1
    assert outcomes(anywhere) == [("attachment", "added", None)]


def test_a_person_who_asks_does_not_double_what_nobody_may_look_up(world: World) -> None:
    maps(world, ATTACHED)
    fault(world, FaultKind.ACL, "/attachment?", "GET", times=None)
    fault(world, FaultKind.RESET_AFTER_COMMIT, "/attachment/file", "POST")
    world.fire()
    world.idle()
    world.pass_time(minutes=12, step=30)
    world.ask_sync()
    world.idle()
    assert len(attached(world)) == 1
    assert outcomes(world) == [("attachment", "given_up", "query_rights")]


def test_while_uploads_wait_the_incident_is_kept_in_step(world: World) -> None:
    maps(world, ATTACHED)
    fault(world, FaultKind.SERVER_ERROR, "/attachment/file", "POST", times=None)
    world.fire(level="low")
    world.idle()
    world.fire(level="critical")
    world.idle()
    assert world.record()["impact"] == "1"
    assert world.row().failure is None


def test_an_alert_that_is_too_large_is_not_attached_and_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from bridge.servicenow import attachments

    monkeypatch.setattr(attachments, "ATTACHMENT_BYTES_MAX", 10)
    maps(world, ATTACHED)
    world.fire()
    world.idle()
    assert outcomes(world) == [("attachment", "given_up", "attachment_too_large")]
    assert world.other_writes() == []


def test_an_alert_that_was_erased_meanwhile_is_not_attached(world: World) -> None:
    maps(world, ATTACHED)
    world.fire()
    world.worker.work()
    with world.store.transaction() as tx:
        tx.execute(update(deliveries).values(body=None))
    world.idle()
    assert outcomes(world) == [("attachment", "given_up", "alert_erased")]


def test_a_record_that_is_gone_by_then_has_nothing_attached(world: World) -> None:
    maps(world, ATTACHED)
    world.fire()
    world.worker.work()
    world.simulator.person_deletes("incident", world.record()["sys_id"])
    world.worker.work()
    assert outcomes(world) == [("attachment", "given_up", "record_gone")]
    world.resolve()
    world.idle()


def test_one_that_is_held_is_not_claimed_again_before_its_lease_is_over(anywhere: World) -> None:
    maps(anywhere, ATTACHED)
    anywhere.fire()
    anywhere.worker.work()
    with anywhere.store.transaction() as tx:
        now = anywhere.store.now(tx)
        first = store_additions.claim(tx, now, silent=())
        again = store_additions.claim(tx, now, silent=())
        after = store_additions.claim(tx, now + LEASE, silent=())
    assert first is not None
    assert after is not None
    assert (again, after.epoch - first.epoch) == (None, 1)
    with anywhere.store.transaction() as tx:
        assert not store_additions.about_to_send(tx, first, now, now)  # its lease was taken over
        tx.execute(update(additions).values(lease_until=None))
    anywhere.idle()
    assert len(attached(anywhere)) == 1


def test_one_that_is_held_does_not_keep_the_others_waiting(world: World) -> None:
    maps(world, ATTACHED)
    for rule in ("r1", "r2"):
        world.fire(rule)
        world.worker.work()
    with world.store.transaction() as tx:
        now = world.store.now(tx)
        first = store_additions.claim(tx, now, silent=())
        second = store_additions.claim(tx, now, silent=())
        tx.execute(update(additions).values(lease_until=None))
    assert first is not None
    assert second is not None
    assert first.incident != second.incident
    world.idle()


def test_a_bug_is_given_up_and_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from bridge.servicenow import attachments

    def bug(*_args: object, **_more: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(attachments, "attach", bug)
    maps(world, ATTACHED)
    world.fire()
    world.idle()
    assert outcomes(world) == [("attachment", "given_up", "internal_error")]


def test_a_target_that_is_gone_from_the_configuration_is_given_nothing(world: World) -> None:
    maps(world, ATTACHED)
    world.fire()
    world.worker.work()
    world.aim(itsm(name="other"))
    world.idle()
    assert outcomes(world) == [("attachment", "given_up", "unknown_target")]


def test_more_observables_than_are_linked_are_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from bridge.servicenow import observables

    monkeypatch.setattr(observables, "OBSERVABLES_MAX", 2)
    maps(world, OBSERVED, sir())
    world.fire(ips=["192.0.2.1", "192.0.2.2", "192.0.2.3"])
    world.idle()
    assert len(linked(world)) == 2
    assert world.log("added")[0]["detail"] == {"wanted": 3, "left_out": ["1 more"]}


def test_a_paused_target_is_given_nothing(world: World) -> None:
    from bridge.store import orders

    maps(world, ATTACHED)
    world.fire()
    world.worker.work()
    with world.store.transaction() as tx:
        orders.pause(tx, "itsm", actor="test", now=world.store.now(tx))
    world.idle()
    assert attached(world) == []
    with world.store.transaction() as tx:
        orders.resume(tx, "itsm", actor="test", now=world.store.now(tx))
    world.idle()
    assert len(attached(world)) == 1
