"""The verifier of log exports: what it says of good ones, and that it finds every change."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from log_exports import KEY, OLD_KEY, ORIGIN, Log, closed, closed_anew, encoded, entries_of, key_of, line_of

from bridge.log import tree, verify

SIZE = 7
LOG = Log(entries_of(SIZE))
WHOLE = LOG.whole()
PRUNED_LOG = Log(entries_of(SIZE - 1, pruned_to=3))
SMALL = PRUNED_LOG.whole(pruned=[1, 2], passed=[4], since=3)
SELECTED = LOG.selection([1, 4, 6], since=3)


def verdict_on(export: bytes, *keys: verify.Key, since: str | None = None) -> verify.Verdict:
    return verify.verify(io.BytesIO(export), keys or [key_of(KEY)], since)


def said_of(export: bytes, *keys: verify.Key, since: str | None = None) -> str:
    """What is wrong; fails when nothing is."""
    verdict = verdict_on(export, *keys, since=since)
    assert not verdict.verified, verdict.says
    return " ".join(verdict.says)


def lines_of(export: bytes) -> list[bytes]:
    return export.splitlines(keepends=True)


# --- what is good


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 8, 33])
def test_a_whole_export_verifies(size: int) -> None:
    verdict = verdict_on(Log(entries_of(size)).whole())
    assert verdict.verified
    assert (verdict.facts["entries"], verdict.facts["size"]) == (size, size)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 33])
def test_a_selection_verifies(size: int) -> None:
    verdict = verdict_on(Log(entries_of(size)).selection(range(0, size, 2)))
    assert verdict.verified
    assert verdict.facts["entries"] == (size + 1) // 2


def test_an_export_with_pruned_entries_and_checkpoints_on_the_way_verifies() -> None:
    verdict = verdict_on(SMALL)
    assert verdict.verified
    assert (verdict.facts["entries"], verdict.facts["pruned"]) == (SIZE - 2, 2)


@pytest.mark.parametrize("pruned", [[0], [0, 1, 2], [0, 2]], ids=["fewer", "all that are told", "not the newest then"])
def test_what_an_entry_tells_to_be_pruned_may_be_hashes(pruned: list[int]) -> None:
    assert verdict_on(PRUNED_LOG.whole(pruned=pruned)).verified


@pytest.mark.parametrize(
    ("log", "pruned", "index", "to", "said"),
    [
        (LOG, [0], 0, 0, "entry 0 is here by hash only"),
        (LOG, [4], 4, 4, "entry 4 is here by hash only"),
        (PRUNED_LOG, [0, 1, 2, 5], 5, 5, "entry 5 is here by hash only"),
        (PRUNED_LOG, [0, 1, 2, SIZE - 1], 0, 0, "entry 0 is here by hash only"),
    ],
    ids=["nothing was pruned", "in the middle", "beyond what is told", "and the entry that tells"],
)
def test_an_entry_of_which_somebody_left_the_hash_alone_is_found(
    log: Log, pruned: list[int], index: int, to: int, said: str
) -> None:
    verdict = verdict_on(log.whole(pruned=pruned))
    assert not verdict.verified
    assert said in verdict.says[0].lower()
    assert (verdict.facts["index"], verdict.facts["to"]) == (index, to)


@pytest.mark.parametrize("detail", [[], {"indices": []}, {"indices": {"end": "3"}}, {"indices": {"end": True}}, {}])
def test_an_entry_of_another_shape_tells_of_no_pruning(detail: object) -> None:
    log = Log([*entries_of(2), line_of({"action": "pruned", "detail": detail})[:-1]])
    assert "by hash only" in said_of(log.whole(pruned=[0]))


def test_a_selection_of_nothing_verifies() -> None:
    assert verdict_on(LOG.selection([])).verified


def test_the_verdict_tells_what_was_verified() -> None:
    says = verdict_on(WHOLE, since=LOG.checkpoint(3)).says
    key = key_of(KEY)
    assert says == (
        f"The whole log of {ORIGIN} up to its checkpoint of 7: 7 entries, index 0 to 6; none is missing.",
        "Times of the entries: 2026-11-24T21:00:00.000000Z to 2026-11-24T21:00:06.000000Z.",
        f"Signed by key {key.id_for(ORIGIN)}: SHA-256 {key.fingerprint}.",
        "It goes on from the checkpoint given by --from: the first 3 entries are the same.",
    )


def test_the_verdict_on_a_selection_says_what_it_cannot_prove() -> None:
    says = verdict_on(LOG.selection([1])).says
    assert 'Not proven is that none is left out of what was asked for: {"source": "elastic"}.' in says


def test_the_verdict_says_that_without_an_anchored_checkpoint_something_is_open() -> None:
    assert verdict_on(WHOLE).says[-1].startswith("Not proven is that this is the history that was anchored")


def test_a_log_that_two_keys_have_signed_verifies_with_either_and_says_what_was_not_checked() -> None:
    export = Log(LOG.entries, keys=[OLD_KEY, KEY]).whole(passed=[4])
    for one, other in ((KEY, OLD_KEY), (OLD_KEY, KEY)):
        verdict = verdict_on(export, key_of(one))
        assert verdict.verified
        assert verdict.facts["not_checked"] == (key_of(other).id_for(ORIGIN),)


def test_checkpoints_on_the_way_by_a_key_that_is_not_known_any_more_do_no_harm() -> None:
    lines = lines_of(WHOLE)
    lines.insert(3, line_of({"checkpoint": Log(LOG.entries, keys=[OLD_KEY]).checkpoint(2)}))
    assert verdict_on(closed(lines[:-1], LOG.checkpoint())).verified


def test_a_key_with_a_name_verifies_the_log_of_that_name() -> None:
    assert verdict_on(WHOLE, key_of(KEY, ORIGIN)).verified


# --- every byte, every line


@pytest.mark.parametrize("export", [WHOLE, SMALL, SELECTED], ids=["whole", "pruned", "selection"])
@pytest.mark.parametrize(
    "change", [lambda byte: byte ^ 1, lambda byte: byte ^ 0x20, lambda byte: byte ^ 0x80, lambda _: 0x0A]
)
def test_every_byte_that_is_changed_is_found(export: bytes, change: Callable[[int], int]) -> None:
    missed = []
    for at, byte in enumerate(export):
        if change(byte) != byte:
            changed = export[:at] + bytes([change(byte)]) + export[at + 1 :]
            if verdict_on(changed).verified:
                missed.append(at)
    assert missed == []


@pytest.mark.parametrize("export", [WHOLE, SMALL, SELECTED], ids=["whole", "pruned", "selection"])
def test_an_export_that_was_cut_off_anywhere_is_found(export: bytes) -> None:
    assert [at for at in range(len(export)) if verdict_on(export[:at]).verified] == []


@pytest.mark.parametrize("anew", [False, True], ids=["", "and closed anew"])
@pytest.mark.parametrize("export", [WHOLE, SMALL, SELECTED], ids=["whole", "pruned", "selection"])
@pytest.mark.parametrize(
    "change",
    [
        lambda lines, at: [*lines[:at], *lines[at + 1 :]],
        lambda lines, at: [*lines[:at], lines[at], *lines[at:]],
        lambda lines, at: [*lines[:at], b"\n", *lines[at:]],
        lambda lines, at: [*lines[:at], b"{}\n", *lines[at:]],
        lambda lines, at: [*lines[:at], *lines[at:][::-1]],
    ],
    ids=["deleted", "doubled", "an empty line", "an empty object", "reordered"],
)
def test_lines_that_were_moved_are_found(
    export: bytes, change: Callable[[list[bytes], int], list[bytes]], anew: bool
) -> None:
    lines = lines_of(export)
    missed = []
    for at in range(len(lines)):
        changed = b"".join(change(lines, at))
        if changed == export or (anew and not changed.endswith(lines[-1])):
            continue
        if verdict_on(closed_anew(changed) if anew else changed).verified:
            missed.append(lines[at])
    # Nothing depends on these two, and in a selection, which is nobody's whole, an entry may be left out.
    free = (b'{"checkpoint":', b'{"consistency":', *([b'{"entry":'] if export is SELECTED else []))
    assert [line for line in missed if not (anew and line.startswith(free))] == []


@given(st.data())
def test_whatever_was_done_to_an_export_is_found_without_a_crash(data: st.DataObject) -> None:
    export = data.draw(st.sampled_from([WHOLE, SMALL, SELECTED]))
    begin, end = sorted(data.draw(st.tuples(*[st.integers(0, len(export))] * 2)))
    put = data.draw(st.one_of(st.binary(max_size=40), st.sampled_from(lines_of(export))))
    changed = export[:begin] + put + export[end:]
    assert verdict_on(changed).verified == (changed == export)


@given(st.lists(st.binary(max_size=30), min_size=1, max_size=5).map(b"\n".join))
def test_whatever_else_it_is_is_no_export(junk: bytes) -> None:
    assert not verdict_on(junk).verified


# --- which one


def test_an_entry_that_is_missing_is_named() -> None:
    lines = lines_of(WHOLE)
    verdict = verdict_on(b"".join([*lines[:3], *lines[4:]]))
    assert verdict.says == ("Line 4, index 2: entry 2 is not here.",)
    assert verdict.facts == {"line": 4, "index": 2, "to": 2}


def test_several_that_are_missing_are_named() -> None:
    lines = lines_of(WHOLE)
    assert said_of(b"".join([*lines[:3], *lines[6:]])) == "Line 4, index 2: entries 2 to 4 are not here."


def test_an_entry_that_stands_there_twice_is_named() -> None:
    lines = lines_of(WHOLE)
    assert said_of(b"".join([*lines[:4], *lines[3:]])) == "Line 5, index 3: index 2 once more, or out of order."


def test_where_an_entry_was_changed_is_told_by_the_checkpoints_on_the_way() -> None:
    export = LOG.whole(passed=[2, 4, 6]).replace("Zürich-3".encode(), b"Zurich-33")
    verdict = verdict_on(closed_anew(export))
    assert verdict.says == ("Of the entries 2 to 3 one or more are not what was signed.",)
    assert (verdict.facts["index"], verdict.facts["to"]) == (2, 3)


def test_in_a_selection_an_entry_that_was_changed_is_named() -> None:
    changed = SELECTED.replace("Zürich-4".encode(), b"Zurich-44")
    assert (
        said_of(closed_anew(changed)) == "Line 3, index 4: entry 4 is not what was signed, or its proof is of another."
    )


def test_a_hash_of_a_pruned_entry_that_is_another_is_found() -> None:
    changed = PRUNED_LOG.whole(pruned=[1, 2], passed=[3]).replace(
        encoded(LOG.leaves[2]).encode(), encoded(LOG.root(1)).encode()
    )
    assert said_of(closed_anew(changed)) == "Of the entries 0 to 2 one or more are not what was signed."


def test_in_a_selection_an_entry_stands_once_and_in_order() -> None:
    lines = lines_of(SELECTED)
    for changed in ([*lines[:2], *lines[1:]], [lines[0], lines[2], lines[1], *lines[3:]]):
        assert "or more is due" in said_of(closed_anew(b"".join(changed)))


def test_nothing_goes_on_from_an_empty_log_with_another_root() -> None:
    empty, now = (
        verify.Checkpoint(ORIGIN, 0, bytes(32), (), ()),
        verify.Checkpoint(ORIGIN, SIZE, LOG.root(SIZE), (), ()),
    )
    assert not verify.grown(empty, now, [])


def test_a_line_of_no_pruned_entries_is_refused() -> None:
    lines = lines_of(WHOLE)
    lines.insert(3, line_of({"first": 2, "hashes": "", "pruned": 0}))
    assert "not the hashes of 0 pruned entries" in said_of(closed_anew(b"".join(lines)))


def test_a_line_that_cannot_be_read_is_named_with_the_index_that_is_due() -> None:
    lines = lines_of(WHOLE)
    lines[3] = lines[3].replace(b'"actor":', b'"actor": ')
    assert said_of(b"".join(lines)).startswith("Line 4, index 2: it is not an object in the one form")


# --- forgery and mix-up


def test_a_key_that_did_not_sign_is_told_with_both_ids() -> None:
    other = key_of(OLD_KEY)
    assert said_of(WHOLE, other) == (
        f'The checkpoint in the last line, of "{ORIGIN}", is signed by key {key_of(KEY).id_for(ORIGIN)}, '
        f"and not by what was given: {other.id_for(ORIGIN)}."
    )


def test_a_last_line_that_was_forged_without_the_key_is_found() -> None:
    forged = Log(entries_of(SIZE, {3: "nothing"}), keys=[OLD_KEY])
    checkpoint = forged.checkpoint().replace("— ", "— ", 1)
    ours, theirs = LOG.checkpoint().rsplit(" ", 1)[1], checkpoint.rsplit(" ", 1)[1]
    with_our_id = checkpoint.replace(theirs, encoded(bytes.fromhex(key_of(KEY).id_for(ORIGIN)) + b"\0" * 64) + "\n")
    assert ours != theirs
    lines = lines_of(forged.whole())[:-1]
    assert "signed by key" in said_of(closed(lines, checkpoint))
    assert "forged, or changed" in said_of(closed(lines, with_our_id))


def test_the_tail_of_another_checkpoint_is_found() -> None:
    longer = Log(entries_of(SIZE + 2))
    assert said_of(closed(lines_of(WHOLE)[:-1], longer.checkpoint())) == "9 entries were signed, and 7 are here."
    assert said_of(closed(lines_of(longer.whole())[:-1], LOG.checkpoint())) == "7 entries were signed, and 9 are here."


def test_an_export_of_another_bridge_is_found_although_it_has_the_same_key() -> None:
    other = Log(LOG.entries, origin="incident-bridge/other")
    assert verdict_on(other.whole()).facts["origin"] == "incident-bridge/other"
    assert "is of another log" in said_of(other.whole(), since=LOG.checkpoint(3))
    assert "signed by key" in said_of(other.whole(), key_of(KEY, ORIGIN))
    lines = [LOG.header("whole", {}), *lines_of(other.whole())[1:]]
    assert "with a checkpoint of" in said_of(closed_anew(b"".join(lines)))


def test_two_exports_in_one_file_are_found() -> None:
    assert "something follows the line that closes" in said_of(WHOLE + WHOLE)


def test_a_selection_that_calls_itself_whole_is_found() -> None:
    lines = [LOG.header("whole", {}), *lines_of(SELECTED)[1:]]
    assert "does not belong here" in said_of(closed_anew(b"".join(lines)))


def test_a_whole_export_that_calls_itself_a_selection_is_found() -> None:
    lines = [LOG.header("selection", {}), *lines_of(WHOLE)[1:]]
    assert "does not belong into a selection" in said_of(closed_anew(b"".join(lines)))


@pytest.mark.parametrize(
    "change",
    [lambda proof: proof[:-1], lambda proof: [*proof, proof[0]], lambda _: [], lambda proof: proof[::-1]],
    ids=["too short", "too long", "none", "turned round"],
)
def test_a_proof_that_does_not_fit_is_found(change: Callable[[list[str]], list[str]]) -> None:
    for kind, at in ((("index",), 1), (("consistency",), -2)):
        lines = lines_of(SELECTED)
        value = json.loads(lines[at])
        holder = value[kind[0]] if kind == ("consistency",) else value
        holder["proof"] = change(holder["proof"])
        lines[at] = line_of(value)
        assert "proof" in said_of(closed_anew(b"".join(lines))) or "proven" in said_of(closed_anew(b"".join(lines)))


# --- an anchored checkpoint


@pytest.mark.parametrize("size", range(SIZE + 1))
@pytest.mark.parametrize("kind", ["whole", "selection"])
def test_an_export_goes_on_from_every_older_checkpoint(kind: str, size: int) -> None:
    export = LOG.whole() if kind == "whole" else LOG.selection([2, 5], since=size)
    assert verdict_on(export, since=LOG.checkpoint(size)).facts.get("from") == size


def test_a_selection_without_the_proof_for_a_checkpoint_does_not_verify_from_it() -> None:
    for export in (LOG.selection([2]), SELECTED):
        assert "has no proof for the checkpoint given by --from" in said_of(export, since=LOG.checkpoint(4))


def test_entries_that_were_anchored_and_are_not_there_are_counted() -> None:
    longer = Log(entries_of(SIZE + 2))
    for export in (WHOLE, SELECTED):
        verdict = verdict_on(export, since=longer.checkpoint())
        assert verdict.says[0].startswith("2 entries that were anchored are not in this export")
        assert (verdict.facts["index"], verdict.facts["to"]) == (7, 8)


@pytest.mark.parametrize("size", [4, SIZE])
def test_two_histories_that_one_key_has_signed_are_told(size: int) -> None:
    other = Log(entries_of(SIZE, {1: "nothing"}))
    assert "the key has signed two histories" in said_of(WHOLE, since=other.checkpoint(size)).lower()


def test_a_selection_of_another_history_does_not_go_on_from_the_anchored_one() -> None:
    other = Log(entries_of(SIZE, {1: "nothing"}))
    assert "two histories" in said_of(SELECTED, since=other.checkpoint(SIZE))
    assert "has no proof" in said_of(SELECTED, since=other.checkpoint(3))
    lines = lines_of(SELECTED)
    lines[-2] = other.consistency(3)[0]
    assert "not proven to go on" in said_of(closed_anew(b"".join(lines)), since=other.checkpoint(3))


def test_a_checkpoint_on_the_way_that_is_of_another_history_is_told() -> None:
    lines = lines_of(WHOLE)
    lines.insert(5, line_of({"checkpoint": Log(entries_of(SIZE, {1: "nothing"})).checkpoint(4)}))
    assert "two histories of one log: this export is not of the one that the checkpoint of 4" in said_of(
        closed(lines[:-1], LOG.checkpoint())
    )


def anchored(log: Log, *sizes: int) -> str:
    """Lines as anchors have them: of the file, and of a collector, which puts its own before."""
    lines = [json.dumps({"at": f"2026-11-25T00:00:{size:02}Z", "checkpoint": log.checkpoint(size)}) for size in sizes]
    return "".join(f"{'<110>1 ' * (at % 2)}{line}\n" for at, line in enumerate(lines)).replace('": ', '":')


@pytest.mark.parametrize("sizes", [(3,), (SIZE,), (0, 1, 2, 3), (5, 3, 3, 1)])
def test_an_export_goes_on_from_all_checkpoints_of_an_anchor(sizes: tuple[int, ...]) -> None:
    verdict = verdict_on(WHOLE, since=anchored(LOG, *sizes))
    assert verdict.facts["from"] == max(sizes)
    assert verdict.says[-1].endswith(f"are the same, anchored at 2026-11-25T00:00:{max(sizes):02}Z.")


def test_a_line_of_an_anchor_that_was_cut_off_is_passed_over() -> None:
    lines = anchored(LOG, 2, 3)
    assert verdict_on(WHOLE, since=lines[:100] + "\n" + lines).facts["from"] == 3


def test_one_checkpoint_of_an_anchor_that_is_of_another_history_is_enough() -> None:
    other = Log(entries_of(SIZE, {1: "nothing"}))
    assert "two histories" in said_of(WHOLE, since=anchored(LOG, 1) + anchored(other, 3) + anchored(LOG, 5))


def test_a_selection_must_prove_each_checkpoint_that_was_given() -> None:
    assert verdict_on(SELECTED, since=anchored(LOG, 3, SIZE)).verified
    assert "no proof for the checkpoint given by --from, of 2 entries" in said_of(SELECTED, since=anchored(LOG, 2, 3))


def test_the_proof_of_growth_is_from_a_checkpoint_of_this_log() -> None:
    lines = lines_of(SELECTED)
    lines[-2] = Log(LOG.entries, origin="incident-bridge/other").consistency(3)[0]
    assert "not proven to go on from the checkpoint of 3" in said_of(closed_anew(b"".join(lines)))


def test_a_checkpoint_on_the_way_stands_where_it_was_signed() -> None:
    lines = lines_of(WHOLE)
    lines.insert(5, line_of({"checkpoint": LOG.checkpoint(3)}))
    said = said_of(closed(lines[:-1], LOG.checkpoint()))
    assert said == f'Line 6, index 4: a checkpoint of "{ORIGIN}" with 3 entries does not belong here.'


def test_a_checkpoint_that_was_forged_proves_nothing() -> None:
    forged = Log(LOG.entries, keys=[OLD_KEY]).checkpoint(3)
    assert said_of(WHOLE, since=forged).startswith("The checkpoint given by --from, of")


def test_what_is_no_checkpoint_is_refused() -> None:
    with pytest.raises(verify.Misuse, match="neither a signed checkpoint"):
        verdict_on(WHOLE, since="incident-bridge/acme\n")


# --- input of every other kind


def test_a_format_of_another_version_is_told() -> None:
    export = closed_anew(WHOLE.replace(b'"bridge_log_export":1', b'"bridge_log_export":2'))
    assert said_of(export) == "Line 1: its format is 2, and this program knows 1: take the newest one."


def test_base64_has_one_spelling() -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    end = LOG.checkpoint()[-3]  # before `=` and the end of the line: two of its bits say nothing
    other = alphabet[alphabet.index(end) + 1]
    changed = WHOLE.replace(f"{end}=\\n".encode(), f"{other}=\\n".encode())
    assert changed != WHOLE
    assert "could be written in another way" in said_of(changed)


@pytest.mark.parametrize(
    "line",
    [
        b'{"entry":{"a":1.5},"index":0}\n',
        b'{"entry":{"a":NaN},"index":0}\n',
        b'{"entry":{"a":1,"a":1},"index":0}\n',
        b'{"entry":{"b":1,"a":1},"index":0}\n',
        b'{"entry":{"a":-0},"index":0}\n',
        b'{"entry":{"a":1e3},"index":0}\n',
        b'{"entry":{"a":"\\u00e9"},"index":0}\n',
        b'{"entry":{"a":"\\/"},"index":0}\n',
        b'{"entry":{"a":"\\ud800"},"index":0}\n',
        b'{"entry":{"a":"\0"},"index":0}\n',
        b'{"entry":{"a":"\xff"},"index":0}\n',
        b'{"entry":{"a":"\xed\xa0\x80"},"index":0}\n',
        b'{"entry":{"a":1},"index":0}\r\n',
        b'{"entry":{"a":1},"index":0} \n',
        b'{"entry":{"a":1},"index":0}{}\n',
        b' {"entry":{"a":1},"index":0}\n',
        b'\xef\xbb\xbf{"entry":{"a":1},"index":0}\n',
        '{"entry":{"a":1},"index":0}\n'.encode("utf-16"),
        b"\0" * 100 + b"\n",
        b"[" * 100_000 + b"\n",
        b'{"a":' * 100_000 + b"\n",
        b'{"entry":' + b"[" * 900 + b"]" * 900 + b',"index":0}\n',
        b'{"entry":{"a":' + b"9" * 5_000 + b'},"index":0}\n',
        b"[]\n",
        b"1\n",
        b"null\n",
        b'"entry"\n',
    ],
)
def test_a_line_that_is_not_as_the_bridge_writes_it_is_refused(line: bytes) -> None:
    said = said_of(closed([LOG.header("whole", {}), line], LOG.checkpoint(1)))
    assert said.startswith("Line 2, index 0: it")


@pytest.mark.parametrize("value", [0, 1, 1.0, True, False, None, "", [], {}, "x\n1\nx\n\n", 10**100, "\ud800"])
@pytest.mark.parametrize(
    "export",
    [Log(entries_of(1)).whole(), Log(entries_of(2)).whole(), SMALL, SELECTED],
    ids=["of one", "of two", "pruned", "selection"],
)
def test_a_value_of_another_kind_is_refused_wherever_it_stands(export: bytes, value: object) -> None:
    lines = [json.loads(line) for line in lines_of(export)]
    for at, line in enumerate(lines):
        for key in line:
            if line[key] == value and type(line[key]) is type(value):
                continue
            changed = [json.dumps({**one, key: value} if one is line else one) for one in lines]
            text = "".join(
                json.dumps(json.loads(one), sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"
                for one in changed
            ).encode("utf-8", "surrogatepass")
            assert not verdict_on(text).verified, (at, key)
            if line is not lines[-1] and key not in ("filter", "checkpoint"):
                assert not verdict_on(closed_anew(text)).verified, (at, key)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40), st.data())
def test_proofs_are_taken_and_refused_as_by_the_code_that_makes_them(
    old: int, new: int, index: int, data: st.DataObject
) -> None:
    old, new = sorted((old, new))
    log = Log(entries_of(new))
    older, newer = ((size, log.root(size)) for size in (old, new))
    proof = tree.consistency_proof(old, new, log.hash_at)
    tampered = data.draw(st.sampled_from([proof, proof[:-1], [*proof, b"\0" * 32], proof[::-1]]))
    checkpoints = [verify.Checkpoint(ORIGIN, size, root, (), ()) for size, root in (older, newer)]
    try:
        tree.verify_consistency(old, new, older[1], newer[1], tampered)
        good = True
    except tree.BadProof:
        good = False
    assert verify.grown(*checkpoints, tampered) == good
    if index < new:
        way = tree.inclusion_proof(index, new, log.hash_at)
        assert verify.root_of(log.leaves[index], index, new, way) == newer[1]
        for wrong in ([*way, b"\0" * 32], way[1:] if way else [b"\0" * 32]):
            assert verify.root_of(log.leaves[index], index, new, wrong) != newer[1]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_what_the_bridge_stores_is_canonical_to_the_verifier(value: object) -> None:
    import msgspec

    line = msgspec.json.encode({"entry": value}, order="sorted") + b"\n"
    assert verify.parsed(line) == {"entry": value}
