"""`bridge mapping publish`, `revisions`, `diff` and `rollback`, on both engines: what they print and how they exit."""

from __future__ import annotations

from pathlib import Path

import pytest
from intake_world import PROBE, alert, delivery, library_of
from publishing_world import NOTE, OTHER, TESTED, Command

from bridge.cli import main
from bridge.store.intake import commit
from bridge.store.tables import publications

# --- publish


def test_what_is_published_is_told_with_its_revision_and_the_one_before(command: Command) -> None:
    first = command.publish(PROBE)
    command.place.write(OTHER)
    told = command.run("publish", *NOTE)
    assert told.startswith("probe: ")
    assert told.endswith(f" is in use now (before: {first})\n")


def test_what_is_in_use_already_says_so(command: Command) -> None:
    first = command.publish(PROBE)
    assert command.run("publish", "probe", *NOTE) == f"probe: {first} was in use already\n"


def test_publish_wants_a_reason(command: Command) -> None:
    assert "Missing option '--note'" in command.run("publish", status=2)


@pytest.mark.parametrize(
    ("text", "said"),
    [("mapping: probe\nno_such_key: 1\n", "probe.yaml:2:1: "), (TESTED % "close", "fails at step 1, action")],
)
def test_a_mapping_that_is_wrong_is_not_published(command: Command, text: str, said: str) -> None:
    command.place.write(text)
    assert said in command.run("publish", *NOTE, status=1)
    assert command.place.rows(publications) == []


def test_with_a_mistake_in_one_mapping_none_is_published(command: Command) -> None:
    command.place.write("mapping: second\n", "second")
    command.run("publish", "probe", "second", *NOTE, status=1)
    assert command.place.rows(publications) == []


def test_a_name_that_is_none_names_the_nearest(command: Command) -> None:
    assert "did you mean `probe`?" in command.run("publish", "prob", *NOTE, status=1)


# --- removing


def second(text: str = PROBE) -> str:
    return text.replace("mapping: probe", "mapping: second")


def with_second_published(command: Command) -> Path:
    command.place.write(second(), "second")
    command.run("publish", "second", *NOTE)
    return command.place.folder / "mappings/second.yaml"


def test_a_published_mapping_whose_file_is_gone_and_that_no_source_names_is_removed(command: Command) -> None:
    with_second_published(command).unlink()
    told = {row["mapping"]: row for row in command.json("publish", *NOTE)}
    assert (told["second"]["revision"], told["second"]["changed"], told["probe"]["changed"]) == (None, True, True)


def test_a_mapping_that_a_source_names_is_not_removed_with_its_file(command: Command) -> None:
    command.publish(PROBE)
    (command.place.folder / "mappings/probe.yaml").unlink()
    assert "there is no such file" in command.run("publish", *NOTE, status=1)


def test_a_mapping_that_keeps_incidents_in_step_is_removed_only_with_release(command: Command) -> None:
    store = command.place.store
    prepared = delivery(library_of(store), alert("r1"))
    with store.transaction() as tx:
        commit(tx, [prepared], store.now(tx))
    config = command.place.folder / "bridge.yaml"
    command.publish(PROBE)
    config.write_text(config.read_text().replace("mapping: probe", "mapping: second"))
    command.place.write(second(), "second")
    (command.place.folder / "mappings/probe.yaml").unlink()
    assert "--release" in command.run("publish", *NOTE, status=1)
    told = command.run("publish", "--release", *NOTE)
    assert "probe: removed" in told
    assert told.rstrip().endswith("correlations let go: 1")


# --- revisions


def test_revisions_are_listed_newest_first_with_who_and_why(command: Command) -> None:
    first, other = command.publish(PROBE), command.publish(OTHER)
    found = command.json("revisions", "probe")
    assert [(row["revision"], row["in_use"]) for row in found] == [(other, True), (first, False)]
    assert (found[0]["author"], found[0]["author_known_by"], found[0]["note"]) == ("robin", "os_user", "a reason")


def test_revisions_read_as_a_table(command: Command) -> None:
    first = command.publish(PROBE)
    command.publish(OTHER)
    lines = command.run("revisions", "probe", "--limit", "9" * 30).splitlines()
    assert lines[0].split() == ["REVISION", "IN", "USE", "SINCE", "AUTHOR", "KNOWN", "BY", "NOTE"]
    assert lines[2].split()[0] == first
    assert len(command.run("revisions", "probe", "--limit", "1").splitlines()) == 2


def test_a_mapping_that_was_never_published_says_how_to(command: Command) -> None:
    for words in (("revisions", "nope"), ("diff", "nope")):
        assert "bridge mapping publish nope --note WHY" in command.run(*words, status=1)


def test_a_removed_mapping_is_told_as_one(command: Command) -> None:
    with_second_published(command).unlink()
    command.run("publish", "second", *NOTE)
    assert "(removed)" in command.run("revisions", "second").splitlines()[1]
    assert not any(row["in_use"] for row in command.json("revisions", "second"))


# --- diff


def test_a_diff_is_of_what_is_published_from_what_is_on_disk(command: Command) -> None:
    first = command.publish(PROBE)
    command.place.write(OTHER)
    lines = command.run("diff", "probe").splitlines()
    assert lines[:2] == [f"--- probe.yaml ({first})", "+++ probe.yaml (disk)"]
    changed = [line[0] for line in lines[2:] if line.startswith(("+", "-"))]
    assert changed == ["-", "+"]


def test_two_revisions_are_compared_in_the_order_given(command: Command) -> None:
    first, other = command.publish(PROBE), command.publish(OTHER)
    shown = command.json("diff", "probe", other, first[:6])
    assert (shown["old"], shown["new"], bool(shown["diff"])) == (other, first, True)


def test_no_difference_is_said(command: Command) -> None:
    first = command.publish(PROBE)
    assert command.run("diff", "probe", first) == f"probe: {first} and disk are the same.\n"


def test_a_file_that_cannot_be_used_is_compared_all_the_same(command: Command) -> None:
    command.publish(PROBE)
    command.place.write(PROBE + "nonsense: [\n")
    assert "+nonsense: [" in command.run("diff", "probe")


def test_a_new_include_is_part_of_the_difference(command: Command) -> None:
    command.publish(PROBE)
    (command.place.folder / "mappings/shared.yaml").write_text("personal: [rule]\n")
    command.place.write(PROBE + "include: [shared.yaml]\n")
    lines = command.run("diff", "probe").splitlines()
    assert {"--- (no file)", "+++ shared.yaml (disk)", "+personal: [rule]"} <= set(lines)


def test_three_revisions_are_too_many(command: Command) -> None:
    assert "two revisions can be compared" in command.run("diff", "probe", "a", "b", "c", status=2)


# --- rollback


def test_a_rollback_puts_the_revision_into_use_and_says_what_the_files_do(command: Command) -> None:
    first, other = command.publish(PROBE), command.publish(OTHER)
    told = command.run("rollback", "probe", first[:7], *NOTE).splitlines()
    assert told[0] == f"probe: {first} is in use now (before: {other})"
    assert "stay out of use until they change again" in told[1]


def test_a_rollback_to_what_the_disk_holds_has_nothing_to_warn_of(command: Command) -> None:
    first = command.publish(PROBE)
    command.publish(OTHER)
    command.place.write(PROBE)
    assert len(command.run("rollback", "probe", first, *NOTE).splitlines()) == 1


def test_a_rollback_is_one_in_the_log(command: Command) -> None:
    first = command.publish(PROBE)
    command.publish(OTHER)
    command.run("rollback", "probe", first, "--author", "Kim", *NOTE)
    entry = command.place.log("published")[-1]
    assert (entry["outcome"], entry["revision"]) == ("rolled_back", first)
    assert (entry["detail"]["author"], entry["detail"]["author_verified"]) == ("Kim", False)


def test_the_log_shows_which_mapping_was_published(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    first = command.publish(PROBE)
    assert main(["log", "show", "--config", str(command.place.folder / "bridge.yaml")]) == 0
    assert f"probe {first}" in capsys.readouterr().out


def test_a_rollback_to_a_revision_that_routes_to_no_target_is_refused(command: Command) -> None:
    first = command.publish(PROBE)
    command.publish(OTHER)
    config = command.place.folder / "bridge.yaml"
    config.write_text(config.read_text().replace("itsm:", "other:"))
    assert "there is no target `itsm`" in command.run("rollback", "probe", first, *NOTE, status=1)


def test_a_revision_that_is_none_is_refused(command: Command) -> None:
    command.publish(PROBE)
    assert "no revision begins with ffffffff" in command.run("rollback", "probe", "ffffffff", *NOTE, status=1)
