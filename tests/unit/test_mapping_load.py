"""Mapping files: every problem at once, with its place and a hint; includes; digests; the examples of the language."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from bridge.alert import Severity
from bridge.errors import Misconfigured
from bridge.mapping.load import compile_files, load_mappings

HEAD = "mapping: m\nversion: 1\nowner: soc@corp.example\n"
REST = 'correlation: {id: "{{ .rule }}"}\nroute: [{to: itsm}]\nfields: {create: {u_x: "{{ .rule }}"}}\n'


def problems(text: str, **others: str) -> list[str]:
    with pytest.raises(Misconfigured) as caught:
        compile_files("m", {"m.yaml": text, **others})
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("line", "place", "words"),
    [
        ("extracts: {}", "4:1", "did you mean `extract`"),
        ("extract: {a: .b | lowr}", "4:14", "did you mean `lower`"),
        ("extract: {a: .b | lookup(x)}", "4:14", "needs by= and take="),
        ("extract: {a: .b | truncate}", "4:14", "takes 1 arguments, not 0"),
        ("extract: {a: .b | truncate('x')}", "4:14", "a whole number"),
        ("extract: {a: .b | truncate(3, 4)}", "4:31", "a: '.b | truncate(3, 4)'"),
        (
            "extract: {a: .b | lookup(t, by=x, take=y), c: .d}",
            "4:29",
            "(write it in single quotes: a: '.b | lookup(t, by=x, take=y)')",
        ),
        ("each: {in: .a | f(x, y), limit: 3}", "4:22", "in: '.a | f(x, y)'"),
        ("observables: {ip: .a | f(x, y, 3)}", "4:29", "ip: '.a | f(x, y, 3)'"),
        ("extract: {a: .b, c: aa}", "4:21", "did you mean `a`"),
        ("extract: {a: b, b: .c}", "4:14", "there is no name `b`"),
        ("extract: {a: severity}", "4:14", "not known yet"),
        ("extract: {severity: .a}", "4:11", "a name of the language"),
        ("extract: {a-b: .a}", "4:11", "is not a name"),
        ("extract: {a: 7}", "4:14", "an expression is expected"),
        ("extract: {a: '.b | regex(\"(\")'}", "4:14", "RE2 does not take"),
        ("extract: {a: '.b | date(\"%Q\")'}", "4:14", "`%Q`"),
        ("extract: {a: '.b[x]'}", "4:14", "an index is a number"),
        ("match: {rule: x}", "4:9", "there is no name `rule`"),
        ("match: {.a|contain: x}", "4:9", "did you mean `contains`"),
        ("match: {.a|in_lookup: x.y}", "4:23", "there is no look-up table `x`"),
        ("match: {.a|re|contains: x}", "4:9", "do not go together"),
        ("match: {.a|re: '('}", "4:16", "RE2 does not take"),
        ("match: {.a|cidr: 10.0.0.1/8}", "4:18", "is not a network"),
        ("match: {.a|gte: high}", "4:17", "compares with a number"),
        ("match: {.a|exists: maybe}", "4:20", "true or false"),
        ("match: {.a|contains: ''}", "4:22", "an empty text"),
        ("match: {.a|at_least: high}", "4:9", "compares the severity only"),
        ("match: {.a: {b: c}}", "4:13", "a plain value"),
        ("match: yes", "4:8", "a map of field: value"),
        ("suppress: [{name: a, reason: b, when: {severity: hihg}, permanent: true}]", "4:50", "did you mean `high`"),
        ("suppress: [{name: a, reason: b, when: {.a: b}}]", "4:12", "has an end"),
        ("suppress: [{name: a, reason: b, when: {.a: b}, until: soon}]", "4:55", "is not a date"),
        ("suppress: [{name: a, when: {.a: b}, permanent: true}]", "4:12", "`reason` is missing"),
        ("suppress: [{name: a, reason: b, when: {.a: b}, permanent: true, window: {tz: UTC}}]", "4:73", "days, hours"),
        ("each: {in: .a, limit: 2000}", "4:23", "1 to 1000"),
        ("personal: [user]", "4:12", "is not an extract"),
        ("severity: {from: .a, table: {A: hihg}}", "4:33", "did you mean `high`"),
        ("severity: {from: .a, table: {A: high, a: low}}", "4:39", "but for case"),
        ("severity: {from: .a, default: bad}", "4:31", "is not a severity"),
        ("severity: {from: .a, raise_to: {worst: {.a: b}}}", "4:33", "is not a severity"),
        ("observables: {ip: [.a, b]}", "4:24", "there is no name `b`"),
        ("tests: [{name: a, alert: s.json}]", "4:9", "`expect` is missing"),
        ("tests: [{name: a, alert: s.json, expect: {colour: red}}]", "4:43", "cannot expect `colour`"),
        ("tests: [{name: a, alert: s.json, change: {'.a[]': 1}, expect: {action: create}}]", "4:43", "not one place"),
        ("tests: [{name: a, alert: /etc/x, expect: {action: create}}]", "4:26", "inside the mappings folder"),
        ("include: [../x.yaml]", "4:11", "inside the mappings folder"),
        ("include: [/x.yaml]", "4:11", "inside the mappings folder"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_a_hint(line: str, place: str, words: str) -> None:
    (problem,) = problems(f"{HEAD}{line}\n{REST}")
    assert problem.startswith(f"m.yaml:{place}: ")
    assert words in problem


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ('correlation: {id: "all"}', "names no part of the alert"),
        ('correlation: {id: "{{ severity }}"}', "not known yet"),
        ('correlation: {id: "{{ .a }}", join: [{same: [a], within: 4h}]}', "there is no name `a`"),
        ('correlation: {id: "{{ .a }}", reopen: {within: 7 days}}', "is not a duration"),
        ('correlation: {id: "{{ .a }}", reopen: {else: maybe}}', "create or nothing"),
        ('correlation: {id: "{{ .a }}", update_every: [0s]}', "at least 1m"),
        ("correlation: {display: x}", "`id` is missing"),
        ("route: [{when: {.a: b}}]", "`to` is missing"),
        ("route: [{to: My Target}]", "not the name of a target"),
        ("route: [{to: itsm, else_group: x}]", "needs an `assignment_group`"),
        ("fields: {update: {work_notes: x}}", "`create` is missing"),
        ("fields: {create: {correlation_id: x}}", "never written"),
        ("fields: {create: {watch_list: x}}", "never written"),
        ("fields: {create: {parent_incident: x}}", "never written"),
        ("fields: {create: {major_incident_state: x}}", "never written"),
        ("fields: {create: {assignment_group: x}}", "the route's"),
        ("fields: {create: {U_X: x}}", "not a column"),
        ("fields: {create: {u_x: [a]}}", "a text is expected"),
        ("fields: {create: {u_x: '{{ .a '}}", "`}}`"),
        ("fields: {create: {u_x: {by: severity, table: {hihg: 1}}}}", "did you mean `high`"),
        ("fields: {create: {u_x: {find: cmdb_ci, by: {name: x}, else: other}}}", "`else` is none"),
        ("fields: {create: {u_x: x}, update: {state: 2}}", "never written by an update"),
        ("fields: {create: {u_x: x}, on: {hr: {}}}", "no key `hr`"),
    ],
)
def test_a_mistake_in_a_section_that_every_mapping_has(section: str, words: str) -> None:
    name = section.partition(":")[0]
    rest = "\n".join(line for line in REST.splitlines() if not line.startswith(name))
    (problem,) = problems(f"{HEAD}{rest}\n{section}\n")
    assert words in problem


def test_every_problem_is_told_at_once() -> None:
    found = problems(HEAD + "extract: {a: .b | lowr}\nmatch: {.a|contain: x}\ntime: nope\n" + REST)
    assert len(found) == 3


@pytest.mark.parametrize(
    ("line", "corrected"),
    [
        ('  x: .a ?? "b: c"', "x: '.a ?? \"b: c\"'"),
        ('  x: "a" ?? .b', "x: '\"a\" ?? .b'"),
        ("  x: {in: .a[], limit: 3}", "x: {in: '.a[]', limit: 3}"),
        ('  x: {in: .a | split(","), limit: 3}', "x: {in: '.a | split(\",\")', limit: 3}"),
        ('  x: {in: .a | replace("a", "b") | lower}', 'x: {in: \'.a | replace("a", "b") | lower\'}'),
    ],
)
def test_an_expression_that_yaml_breaks_is_shown_as_it_should_stand(line: str, corrected: str) -> None:
    (problem,) = problems(f"{HEAD}extract:\n{line}\n{REST}")
    assert problem.startswith("m.yaml:5")
    assert corrected in problem


@pytest.mark.parametrize("text", ["", "- a\n", "a", "a: 1\na: 2\n", "a: &x 1\nb: *x\n", "x" * 300_000, "a: [", "\x00"])
def test_what_is_no_mapping_at_all_is_a_problem_and_not_a_traceback(text: str) -> None:
    assert problems(text)


def test_the_mapping_is_called_as_its_file() -> None:
    assert "write mapping: m" in problems(HEAD.replace("mapping: m", "mapping: n") + REST)[0]


def test_too_many_extracts_and_too_long_chains_are_refused() -> None:
    many = "extract:\n" + "".join(f"  x{n}: .a\n" for n in range(201))
    assert "at most 200" in problems(HEAD + many + REST)[0]
    chain = "extract:\n  x0: .a\n" + "".join(f"  x{n}: x{n - 1}\n" for n in range(1, 40))
    assert "build on one another" in problems(HEAD + chain + REST)[0]


def test_a_shared_file_adds_what_the_mapping_does_not_say_itself() -> None:
    shared = """
extract: {env: .labels.env}
severity: {from: .theirs, table: {X: critical}, default: low}
route: [{to: shared}]
"""
    own = """
include: [_shared/a.yaml]
extract: {dev: env}
severity: {from: .mine}
correlation: {id: "{{ .rule }}"}
route: [{when: {dev: dev}, to: drop}]
fields: {create: {u_x: "{{ env }}"}}
"""
    mapping = compile_files("m", {"m.yaml": HEAD + own, "_shared/a.yaml": shared})
    mapped = mapping.map({"rule": "r", "mine": "x"})
    assert (mapped.severity, mapped.target, mapped.route) == (Severity.CRITICAL, "shared", "route[1]")
    assert mapping.map({"rule": "r", "labels": {"env": "dev"}}).target is None
    assert set(mapping.files) == {"m.yaml", "_shared/a.yaml"}


def test_a_problem_of_a_shared_file_has_that_files_place() -> None:
    own = HEAD + "include: [a.yaml]\n" + REST
    assert problems(own, **{"a.yaml": "extract:\n  a: .b | lowr\n"})[0].startswith("a.yaml:2:6: ")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("include: [b.yaml]\n", "a.yaml:1:1: an included file includes nothing itself (name it in m.yaml)"),
        ("include: [m.yaml]\n", "a.yaml:1:1: an included file includes nothing itself"),
        ("include: [a.yaml]\n", "a.yaml:1:1: an included file includes nothing itself"),
        ("a: [&x [lol, lol], *x, *x]\n", "a.yaml:1:5: anchors and aliases are not taken"),
        ("severity: {default: low}\nseverity: {}\n", "a.yaml:2:1: the key 'severity' stands here twice"),
        ("x: " + "y" * 300_000, "a.yaml: is 300003 bytes long; at most 262144 are read"),
        ("a: " + "[" * 100 + "]" * 100, "a.yaml:1:36: is nested deeper than 32"),
        ("- a\n", "a.yaml:1:1: a map with the keys"),
        ("a: b: c", "a.yaml:1:5: is not YAML"),
        ("mapping: n\n", "a.yaml:1:1: there is no key `mapping`"),
    ],
    ids=lambda text: text[:20],
)
def test_what_a_shared_file_may_not_hold_has_its_place(content: str, problem: str) -> None:
    found = problems(HEAD + "include: [a.yaml]\n" + REST, **{"a.yaml": content})
    assert found[0].startswith(problem)


@pytest.mark.parametrize(
    ("include", "problem"),
    [
        ("[m.yaml]", "m.yaml:4:11: a mapping does not include itself"),
        ("m.yaml", "m.yaml:4:10: a mapping does not include itself"),
        ("[b.yaml]", "m.yaml:4:11: there is no file `b.yaml`"),
        ("[./a.yaml]", "m.yaml:4:11: `./a.yaml` is not a file inside"),
        ("['_shared\\a.yaml']", "m.yaml:4:11: "),
        ("[[a.yaml]]", "m.yaml:4:11: a text is expected"),
        (f"[{', '.join(['a.yaml'] * 21)}]", "m.yaml:4:171: more than 20 files"),
    ],
)
def test_a_file_that_cannot_be_included_is_told_where_it_is_named(include: str, problem: str) -> None:
    found = problems(f"{HEAD}include: {include}\n{REST}", **{"a.yaml": "severity: {default: low}\n"})
    assert found[0].startswith(problem)


def test_a_name_that_no_file_can_have_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(f"{HEAD}include: [{'x' * 5000}.yaml]\n{REST}")
    with pytest.raises(Misconfigured, match="cannot be read: File name too long"):
        load_mappings(tmp_path, ["m"])


def test_the_stored_files_compile_to_the_same_mapping(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(HEAD + REST)
    mapping = load_mappings(tmp_path, ["m"])["m"]
    assert compile_files("m", mapping.files) == mapping
    assert compile_files("m", {"m.yaml": HEAD + REST + "# a remark\n"}) != mapping


def test_what_did_not_change_is_not_read_as_yaml_again(tmp_path: Path) -> None:
    for name in ("m", "n"):
        (tmp_path / f"{name}.yaml").write_text(HEAD.replace("mapping: m", f"mapping: {name}") + REST)
    before = load_mappings(tmp_path, ["m", "n"])
    with (tmp_path / "n.yaml").open("a") as file:
        file.write("# changed\n")
    after = load_mappings(tmp_path, ["m", "n"])
    assert [after[name].yaml is before[name].yaml for name in ("m", "n")] == [True, False]


def test_all_files_are_read_before_their_problems_are_told(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("mapping: [")
    (tmp_path / "two.yaml").write_text("mapping: two\n")
    with pytest.raises(Misconfigured) as caught:
        load_mappings(tmp_path, ["one", "two", "tow"])
    files = {Path(problem.file).name for problem in caught.value.problems}
    assert files == {"one.yaml", "two.yaml", "tow.yaml"}
    assert "did you mean `two`" in str(caught.value)


def test_a_link_that_leads_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside.yaml").write_text("severity: {default: low}\n")
    folder = tmp_path / "mappings"
    folder.mkdir()
    (folder / "in.yaml").symlink_to(tmp_path / "outside.yaml")
    (folder / "m.yaml").write_text(HEAD + "include: [in.yaml]\n" + REST)
    with pytest.raises(Misconfigured, match="leads out of the mappings folder"):
        load_mappings(folder, ["m"])


def test_a_suppression_for_more_than_a_year_is_refused_by_who_knows_the_day(tmp_path: Path) -> None:
    day = date(2026, 11, 24)
    until = day + timedelta(days=400)
    line = f"suppress: [{{name: a, reason: b, when: {{.a: b}}, until: {until}}}]\n"
    (tmp_path / "m.yaml").write_text(HEAD + line + REST)
    with pytest.raises(Misconfigured, match="twelve months"):
        load_mappings(tmp_path, ["m"], today=day)
    load_mappings(tmp_path, ["m"])
