"""What is published, by whom, and what serving processes make of it: on both engines, without a thread."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from intake_world import PROBE
from publishing_world import OTHER, TESTED, THIRD, Place

from bridge.errors import Misconfigured, Permanent
from bridge.mapping.load import compile_files
from bridge.publishing import Signed, in_use, load, publish, publish_or_keep, put_into_use
from bridge.store import revisions
from bridge.store.engine import Store
from bridge.store.revisions import Author, KnownBy
from bridge.store.tables import publications
from bridge.store.tables import revisions as revision_rows

ROBIN = Signed(author=Author(name="robin", known_by=KnownBy.OS_USER), note="a reason", actor="cli:robin")
BROKEN = "mapping: probe\nno_such_key: 1\n"


@pytest.fixture
def place(store: Store, store_url: str, tmp_path: Path) -> Place:
    return Place(store, tmp_path / "auto", store_url, "auto")


@pytest.fixture
def strict(store: Store, store_url: str, tmp_path: Path) -> Place:
    return Place(store, tmp_path / "strict", store_url, "publish_only")


def by_hand(place: Place, text: str, *, disk: str | None = None) -> None:
    mapping = compile_files("probe", {"probe.yaml": text})
    on_disk = compile_files("probe", {"probe.yaml": disk}).digest if disk is not None else mapping.digest
    put_into_use(place.store, {"probe": mapping}, disk={"probe": on_disk}, signed=ROBIN)


# --- what a start finds


def test_under_auto_a_start_publishes_what_the_disk_has(place: Place) -> None:
    assert place.process().text == PROBE
    (row,) = place.rows(publications)
    assert (row.mapping, row.author, row.author_known_by, row.note) == ("probe", "", "nobody", "found changed on disk")


def test_a_second_start_publishes_nothing_anew(place: Place) -> None:
    place.process()
    assert place.process().text == PROBE
    assert len(place.rows(publications)) == 1


def test_under_publish_only_a_start_without_a_publication_is_refused_with_the_place_and_the_remedy(
    strict: Place,
) -> None:
    with pytest.raises(Misconfigured) as caught:
        publish(strict.settings, strict.store, actor="start")
    (problem,) = caught.value.problems
    assert (problem.line, problem.hint) == (8, "bridge mapping publish probe --note WHY")


def test_under_publish_only_the_disk_is_not_looked_at(strict: Place) -> None:
    by_hand(strict, OTHER)
    strict.write(BROKEN)
    process = strict.process()
    process.look()
    assert (process.text, process.library.problem) == (OTHER, "")


def test_a_start_with_a_broken_file_serves_what_was_published(place: Place) -> None:
    place.process()
    place.write(BROKEN)
    publish_or_keep(place.settings, place.store)
    assert in_use(place.settings, place.store).current["probe"].mapping.files["probe.yaml"] == PROBE


def test_a_first_start_with_a_broken_file_is_refused(place: Place) -> None:
    place.write(BROKEN)
    with pytest.raises(Misconfigured, match="no_such_key"):
        publish_or_keep(place.settings, place.store)


def test_a_first_start_with_a_failing_test_is_refused(place: Place) -> None:
    place.write(TESTED % "close")
    with pytest.raises(Misconfigured, match="the test `it opens an incident` fails at step 1, action"):
        publish_or_keep(place.settings, place.store)


# --- several processes, one store


def test_what_one_process_publishes_another_takes(place: Place) -> None:
    one, another = place.process(), place.process()
    place.write(OTHER)
    one.look()
    another.look(files=False)
    assert (one.text, another.text) == (OTHER, OTHER)


def test_two_processes_that_see_the_same_change_publish_it_once(place: Place) -> None:
    one, another = place.process(), place.process()
    place.write(OTHER)
    one.look()
    another.look()
    assert len(place.rows(publications)) == 2


def test_a_publication_is_taken_under_publish_only(strict: Place) -> None:
    by_hand(strict, PROBE)
    process = strict.process()
    by_hand(strict, OTHER)
    process.look(files=False)
    assert process.text == OTHER


def test_every_process_logs_what_it_took(strict: Place) -> None:
    by_hand(strict, PROBE)
    process = strict.process()
    by_hand(strict, OTHER)
    process.look(files=False)
    process.look(files=False)
    (entry,) = strict.log("mappings_loaded")
    assert entry["detail"]["revisions"] == {"probe": process.library["probe"].revision}


def test_a_publication_that_routes_to_no_target_of_this_process_is_not_taken(strict: Place) -> None:
    by_hand(strict, PROBE)
    process = strict.process()
    by_hand(strict, PROBE.replace("{to: itsm}", "{to: sir}"))
    process.look(files=False)
    process.look(files=False)
    assert (process.text, "there is no target `sir`" in process.library.refused) == (PROBE, True)
    assert len(strict.log("mappings_refused")) == 1
    by_hand(strict, OTHER)
    process.look(files=False)
    assert (process.text, process.library.refused) == (OTHER, "")


def test_publishers_at_once_take_turns_and_each_names_the_one_before(strict: Place) -> None:
    by_hand(strict, PROBE)
    texts = [f"{PROBE}# {number}\n" for number in range(6)]
    with ThreadPoolExecutor(len(texts)) as pool:
        list(pool.map(lambda text: by_hand(strict, text), texts))
    entries = strict.log("published")
    before = [entry["detail"]["old_revision"] for entry in entries[1:]]
    assert (len(entries), before) == (7, [entry["revision"] for entry in entries[:-1]])
    assert strict.process().library["probe"].revision == entries[-1]["revision"]


# --- what is wrong on disk


@pytest.mark.parametrize("text", [BROKEN, TESTED % "close"], ids=["does not compile", "a test fails"])
def test_a_change_with_a_mistake_is_refused_named_and_logged_and_the_old_stays(place: Place, text: str) -> None:
    process = place.process()
    place.write(text)
    process.look()
    assert (process.text, "probe.yaml" in process.library.refused) == (PROBE, True)
    assert len(place.log("mappings_refused")) == 1


def test_a_refused_change_is_told_once_and_forgotten_when_it_is_mended(place: Place) -> None:
    process = place.process()
    place.write(BROKEN)
    process.look()
    process.look()
    place.write(PROBE)
    process.look()
    assert (process.library.problem, len(place.log("mappings_refused"))) == ("", 1)


def test_a_mapping_whose_sample_came_later_is_used_when_it_is_there(place: Place) -> None:
    process = place.process()
    sample = place.folder / "mappings/samples/probe.json"
    kept = sample.read_text()
    sample.unlink()
    place.write(TESTED % "create")
    process.look()
    assert process.text == PROBE
    sample.write_text(kept)
    process.look()
    assert (process.text, process.library.refused) == (TESTED % "create", "")


# --- rolling back


def test_after_a_rollback_the_old_revision_stays_until_the_files_change_again(place: Place) -> None:
    process = place.process()
    place.write(OTHER)
    process.look()
    by_hand(place, PROBE, disk=OTHER)
    process.look()
    assert (process.text, "probe" in process.library.apart) == (PROBE, True)
    place.write(THIRD)
    process.look()
    assert (process.text, process.library.apart) == (THIRD, "")


def test_a_restart_does_not_undo_a_rollback(place: Place) -> None:
    process = place.process()
    place.write(OTHER)
    process.look()
    by_hand(place, PROBE, disk=OTHER)
    again = place.process()
    again.look()
    assert (again.text, "probe" in again.library.apart) == (PROBE, True)


def test_a_rollback_beside_files_that_cannot_be_used_is_not_undone_by_them_either(place: Place) -> None:
    place.process()
    place.write(OTHER)
    process = place.process()
    mapping = compile_files("probe", {"probe.yaml": PROBE})
    put_into_use(place.store, {"probe": mapping}, disk={"probe": None}, signed=ROBIN)
    assert place.process().text == PROBE
    process.look()
    assert process.text == PROBE


def test_a_revision_that_is_published_again_is_stored_once(place: Place) -> None:
    process = place.process()
    place.write(OTHER)
    process.look()
    by_hand(place, PROBE, disk=OTHER)
    assert (len(place.rows(revision_rows)), len(place.rows(publications))) == (2, 3)


def test_what_is_in_use_already_is_not_published_again(place: Place) -> None:
    place.process()
    by_hand(place, PROBE)
    assert len(place.rows(publications)) == 1


# --- the log


def test_the_log_names_author_note_and_both_revisions(place: Place) -> None:
    old = place.process().library["probe"].revision
    by_hand(place, OTHER)
    entry = place.log("published")[-1]
    assert (entry["outcome"], entry["actor"], entry["mapping"]) == ("published", "cli:robin", "probe")
    assert entry["revision"] == compile_files("probe", {"probe.yaml": OTHER}).digest[:12]
    detail = entry["detail"]
    assert (detail["author"], detail["author_known_by"], detail["author_verified"]) == ("robin", "os_user", True)
    assert (detail["note"], detail["old_revision"], detail["new_digest"][:12]) == ("a reason", old, entry["revision"])


@pytest.mark.parametrize(
    ("known_by", "verified"),
    [(KnownBy.GIT_COMMIT, True), (KnownBy.OS_USER, True), (KnownBy.CLAIM, False), (KnownBy.NOBODY, False)],
)
def test_a_claim_is_not_a_verified_author(known_by: KnownBy, *, verified: bool) -> None:
    assert known_by.verified is verified


# --- revisions by their digits


def test_a_revision_is_found_by_how_its_digest_begins(place: Place) -> None:
    digest = place.process().library["probe"].mapping.digest
    with place.store.reading() as tx:
        assert revisions.find(tx, "probe", digest[:4].upper()).files == {"probe.yaml": PROBE}


@pytest.mark.parametrize(("digits", "said"), [("zz", "no revision begins with zz"), ("", "several revisions begin")])
def test_digits_that_name_no_one_revision_say_where_to_look(place: Place, digits: str, said: str) -> None:
    place.process()
    by_hand(place, OTHER)
    with place.store.reading() as tx, pytest.raises(Permanent, match=said):
        revisions.find(tx, "probe", digits)


# --- a mapping that a source needs, removed elsewhere


def test_a_process_keeps_a_mapping_that_its_source_needs_and_says_so(place: Place) -> None:
    process = place.process()
    put_into_use(place.store, {"probe": None}, disk={}, signed=ROBIN)
    process.look(files=False)
    assert (process.text, "still used by a source here: probe" in process.library.refused) == (PROBE, True)


def test_a_published_mapping_without_a_source_is_in_the_library(place: Place) -> None:
    place.write(PROBE.replace("mapping: probe", "mapping: second"), "second")
    mapping = load(place.settings, place.store.moment().date(), ["second"])["second"]
    put_into_use(place.store, {"second": mapping}, disk={"second": mapping.digest}, signed=ROBIN)
    shutil.rmtree(place.folder / "mappings/samples")
    assert place.process().library["second"].mapping == mapping
