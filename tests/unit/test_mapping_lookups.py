"""Look-up tables: what a CSV file may hold, what is asked of it, and that it is one thing with the mapping."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_mapping import ALERT, DEFAULTS, mapping, problems, value_of

from bridge.errors import Misconfigured, Problem
from bridge.mapping import lookups
from bridge.mapping.language import LanguageError
from bridge.mapping.load import compile_files, load_mappings
from bridge.mapping.lookups import parse_table

HOSTS = "hostname,team,site\nwks-0421,Payments,Berlin\nwks-0422,,Paris\n"
ASK = '.a | lookup(hosts, by=hostname, take=team) ?? "none"'


@pytest.mark.parametrize(
    ("table", "value", "text"),
    [
        (HOSTS, "wks-0421", "Payments"),
        (HOSTS, "WKS-0421", "Payments"),
        (HOSTS, "wks-042", "none"),
        (HOSTS, "wks-0422", "none"),
        (HOSTS, "", "none"),
        (HOSTS, None, "none"),
        (HOSTS, {"a": 1}, "none"),
        (HOSTS, ["x", "wks-0421", "WKS-0421"], "Payments, Payments"),
        ("hostname,team\n0042,Payments\n", "0042", "Payments"),
        ("hostname,team\n42,Payments\n", 42, "Payments"),
        ("\ufeffhostname,team\r\na,b\r\n", "a", "b"),
        ('hostname,team\na,"Sales, ""EMEA"""\n', "a", 'Sales, "EMEA"'),
        ('hostname,team\na,"two\nlines"\n', "a", "two\nlines"),
        ("hostname , team\n a , b \n\n\n", "a", "b"),
        ("hostname,team\na,b", "a", "b"),
        ("hostname,team\n \na,b\n", "a", "b"),
        ("hostname,team\na,\na,b\n", "a", "b"),
        ("hostname,team\na,b\nA,b\n", "a", "b"),
        ("hostname,team\n", "a", "none"),
        ("hostname,team\na,ü\u2028x\n", "a", "ü\u2028x"),
    ],
)
def test_a_value_is_looked_up(table: str, value: object, text: str) -> None:
    assert value_of(ASK, {"a": value}, {"hosts": table}) == text


@pytest.mark.parametrize(
    ("condition", "alert", "expected"),
    [
        ("{.a|in_lookup: hosts.hostname}", {"a": "WKS-0421"}, True),
        ("{.a|in_lookup: hosts.hostname}", {"a": "wks"}, False),
        ("{.a|in_lookup: hosts.hostname}", {}, False),
        ("{.a|in_lookup: hosts.team}", {"a": ""}, False),
        ("{.a|in_lookup: [hosts.team, hosts.site]}", {"a": "Paris"}, True),
        ("{'.a[]|in_lookup': hosts.site}", {"a": ["x", "Berlin"]}, True),
        ("{.a|in_lookup|all: [hosts.team, hosts.site]}", {"a": "Paris"}, False),
        ("{not: {.a|in_lookup: hosts.site}}", {"a": "Rome"}, True),
    ],
)
def test_a_value_is_in_a_column_or_not(condition: str, alert: dict[str, Any], expected: bool) -> None:
    compiled = mapping(tables={"hosts": HOSTS}, route=f"[{{when: {condition}, to: yes-it-is}}]")
    assert (compiled.map(ALERT | alert).target is not None) is expected


def test_every_condition_may_ask_a_table() -> None:
    condition = "{.a|in_lookup: hosts.site}"
    compiled = mapping(
        tables={"hosts": HOSTS},
        match=condition,
        severity=f"raise_to: {{critical: {condition}}}",
        suppress=f"[{{name: n, reason: r, permanent: true, when: {condition}}}]",
        correlation=DEFAULTS["correlation"] + "\nclose_when: {.a|in_lookup: hosts.team}",
    )
    compiled.split({"a": "Paris"})
    mapped = compiled.map(ALERT | {"a": "Paris"})
    assert (mapped.severity.word, mapped.suppressed_by) == ("critical", "n")


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("", "lookups/hosts.csv:1:1: is empty (the first row names the columns)"),
        ("\n\n", "lookups/hosts.csv:1:1: is empty"),
        ("hostname,team\na\n", "lookups/hosts.csv:2:2: has 1 cells, and the first row 2"),
        ("hostname,team\na,b\nc,d,e\n", "lookups/hosts.csv:3:5: has 3 cells, and the first row 2"),
        ("hostname,team,team\n", "lookups/hosts.csv:1:15: the column `team` stands here twice"),
        ('"hostname",site,"team","team"\n', "lookups/hosts.csv:1:24: the column `team` stands here twice"),
        ("hostname,,team\n", "lookups/hosts.csv:1:10: a column without a name"),
        ("hostname;team\na;b\n", "separated by commas, not by semicolons"),
        ('hostname,team\n"a,b\n', "lookups/hosts.csv:2:1: is not CSV"),
        ('hostname,team\n"a"x,b\n', "lookups/hosts.csv:2:1: is not CSV"),
        ("hostname,team\na,b\nc,\x00\n", "lookups/hosts.csv:3:3: holds a control character"),
        ("hostname,team\na,b\nc,d\nA,e\n", "lookups/hosts.csv:4:3: `A` has another team here than in line 2"),
        ('hostname,team\n"a\nb",c\n"A\nB",d\n', "lookups/hosts.csv:4:3: `A B` has another team here than in line 2"),
    ],
)
def test_a_mistake_in_a_table_has_its_place_and_that_of_the_asker(table: str, problem: str) -> None:
    first, second = problems(tables={"hosts": table}, extract=f"x: '{ASK}'")
    assert problem in first
    assert second.startswith("m.yaml:11:6: the look-up table `hosts` cannot be used")


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (".a | lookup(hots, by=hostname, take=team)", "it is the file lookups/hots.csv in the mappings folder"),
        (".a | lookup(hosts, by=hostnam, take=team)", "lookups/hosts.csv has no column `hostnam` (did you mean `host"),
        (".a | lookup(hosts, by=hostname, take=owner)", "no column `owner` (known: hostname, team, site)"),
    ],
)
def test_what_is_not_there_is_told_where_it_is_asked(ask: str, words: str) -> None:
    (problem,) = problems(tables={"hosts": HOSTS}, extract=f"x: '{ask}'")
    assert problem.startswith("m.yaml:11:6: ")
    assert words in problem


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("hosts", "`hosts` names no column (table.column, such as accepted_risks.arn)"),
        ("hots.site", "there is no look-up table `hots`"),
        ("hosts.town", "no column `town`"),
        ("../x.site", "`` is not the name of a look-up table"),
        ("[hosts.site, hosts.town]", "no column `town`"),
        ("7", "`7` names no column"),
        ("{a: b}", "a plain value"),
    ],
)
def test_a_wrong_in_lookup_is_told_at_its_value(value: str, words: str) -> None:
    (problem,) = problems(tables={"hosts": HOSTS}, match=f"{{.a|in_lookup: {value}}}")
    assert problem.startswith("m.yaml:11:")
    assert words in problem


def test_the_limits_of_a_table_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "LOOKUP_BYTES_MAX", 100)
    monkeypatch.setattr(lookups, "LOOKUP_ROWS_MAX", 2)
    monkeypatch.setattr(lookups, "LOOKUP_COLUMNS_MAX", 3)
    monkeypatch.setattr(lookups, "LOOKUP_CELL_CHARS_MAX", 10)
    assert "longer than the 100 bytes" in _refused("a\n" + "x\n" * 50)
    assert _refused("a\n1\n2\n3\n").startswith("t.csv:4:1: has more than the 2 rows")
    assert _refused("a,b,c,d\n").startswith("t.csv:1:7: has 4 columns; at most 3")
    assert _refused("a,b\n1," + "x" * 11).startswith("t.csv:2:3: is a cell of 11 characters; at most 10")
    parse_table(b"a,b,c\n1,2,xxxxxxxxxx\n", "t.csv")


def test_a_mapping_asks_a_bounded_number_of_tables() -> None:
    tables = {f"t{n}": "a,b\n1,2\n" for n in range(lookups.LOOKUPS_MAX + 1)}
    ask = "\n".join(f"x{n}: .a | lookup(t{n}, by=a, take=b)" for n in range(lookups.LOOKUPS_MAX))
    ask = "\n".join(line.replace(": ", ": '") + "'" for line in ask.splitlines())
    mapping(tables=tables, extract=ask)
    (problem,) = problems(tables=tables, extract=ask, match=f"{{.a|in_lookup: t{lookups.LOOKUPS_MAX}.a}}")
    assert "more than 20 look-up tables" in problem


def _refused(text: str | bytes) -> str:
    with pytest.raises(Misconfigured) as caught:
        parse_table(text.encode() if isinstance(text, str) else text, "t.csv")
    return str(caught.value.problems[0])


def test_bytes_that_are_not_utf_8_have_their_place() -> None:
    assert _refused(b"a,b\n1,\xfc\n") == "t.csv:2:3: is not UTF-8 (save it as CSV UTF-8)"


def test_a_table_with_a_mistake_is_read_once() -> None:
    reads = []
    problems: list[Problem] = []
    asked = lookups.Lookups(lambda path: reads.append(path) or parse_table(b"a,a\n", path), problems)
    for _ in range(3):
        with pytest.raises(LanguageError):
            asked.column("t", "a")
    assert (reads, len(problems)) == (["lookups/t.csv"], 1)


def test_a_table_full_of_mistakes_tells_the_first_few() -> None:
    with pytest.raises(Misconfigured) as caught:
        parse_table(b"a,b\n" + b"1\n" * 1000, "t.csv")
    assert len(caught.value.problems) == lookups.PROBLEMS_SHOWN_MAX


@given(st.binary(max_size=60) | st.text(',"\n\r ab\t;', max_size=60).map(str.encode))
def test_no_content_makes_more_than_a_problem(raw: bytes) -> None:
    try:
        table = parse_table(raw, "t.csv")
    except Misconfigured:
        return
    assert all(len(cells) == len(table.columns) for _, cells in table.rows)
    assert parse_table(table.source.encode(), "t.csv").rows == table.rows


MAPPING = """\
mapping: m
version: 1
owner: soc@corp.example
extract: {team: '.host | lookup(hosts, by=hostname, take=team)'}
correlation: {id: "{{ .host }}"}
route: [{to: itsm, assignment_group: "{{ team }}"}]
fields: {create: {u_x: x}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "lookups").mkdir()
    (tmp_path / "lookups/hosts.csv").write_text(HOSTS)
    (tmp_path / "lookups/other.csv").write_text("not,asked\n1\n")
    (tmp_path / "m.yaml").write_text(MAPPING)
    return tmp_path


def test_the_tables_that_are_asked_are_part_of_the_mapping(folder: Path) -> None:
    loaded = load_mappings(folder, ["m"])["m"]
    assert loaded.files == {"m.yaml": MAPPING, "lookups/hosts.csv": HOSTS}
    assert compile_files("m", loaded.files) == loaded


def test_a_changed_table_is_a_changed_mapping(folder: Path) -> None:
    before = load_mappings(folder, ["m"])["m"]
    (folder / "lookups/hosts.csv").write_text(HOSTS.replace("Payments", "Platform"))
    assert load_mappings(folder, ["m"])["m"] != before


def test_a_table_as_a_spreadsheet_saves_it_is_the_same_from_the_store(folder: Path) -> None:
    (folder / "lookups/hosts.csv").write_bytes(b"\xef\xbb\xbf" + HOSTS.replace("\n", "\r\n").encode())
    loaded = load_mappings(folder, ["m"])["m"]
    assert compile_files("m", loaded.files) == loaded


def test_a_stored_mapping_without_its_table_is_refused(folder: Path) -> None:
    with pytest.raises(Misconfigured, match="there is no look-up table `hosts`"):
        compile_files("m", {"m.yaml": MAPPING})


def test_a_problem_of_a_shared_table_is_told_once(folder: Path) -> None:
    (folder / "n.yaml").write_text(MAPPING.replace("mapping: m", "mapping: n"))
    (folder / "lookups/hosts.csv").write_text("hostname,team\na\n")
    with pytest.raises(Misconfigured) as caught:
        load_mappings(folder, ["m", "n"])
    files = [Path(problem.file).name for problem in caught.value.problems]
    assert files == ["hosts.csv", "m.yaml", "n.yaml"]


def test_a_table_outside_the_folder_is_not_read(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "hosts.csv"
    outside.write_text(HOSTS)
    (folder / "lookups/hosts.csv").unlink()
    (folder / "lookups/hosts.csv").symlink_to(outside)
    with pytest.raises(Misconfigured, match="leads out of the mappings folder"):
        load_mappings(folder, ["m"])


def test_a_table_that_is_too_long_is_refused_without_reading_it_all(folder: Path) -> None:
    with (folder / "lookups/hosts.csv").open("wb") as stream:
        stream.truncate(lookups.LOOKUP_BYTES_MAX * 4)
    with pytest.raises(Misconfigured, match="longer than the 4194304 bytes"):
        load_mappings(folder, ["m"])
