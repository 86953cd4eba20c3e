"""The `outputs:` of a mapping: what is sent once beside a new incident, as closures that render. Pure.

An output is an event for Event Management, or a result for one of the three resources of the SecOps Integration
Capabilities. Its texts are worked out when the record is there, so they may name it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from bridge.alert import Severity
from bridge.mapping.compiler import Compiler
from bridge.mapping.conditions import Condition, compile_condition
from bridge.mapping.evaluate import AFTER_CREATE, AFTER_STATUS, Scope
from bridge.mapping.model import COLUMN, ENRICHMENTS, NAME, OUTPUTS_MAX, SECTIONS, Node
from bridge.mapping.render import Field, Output, compile_value
from bridge.mapping.rendered import RenderedOutput
from bridge.mapping.values import cut, time_of

EVENT = "event"
KINDS = (EVENT, *ENRICHMENTS)
FLAGS = ("ignore_mandatory_fields", "include_wrap", "simple_response")  # [OFFICIAL], all false where not said

# Event Management: 1 critical, 2 major, 3 minor, 4 warning, 5 OK; 0 clears an alert [OFFICIAL].
EVENT_SEVERITY = {
    Severity.CRITICAL: "1",
    Severity.HIGH: "2",
    Severity.MEDIUM: "3",
    Severity.LOW: "4",
    Severity.INFO: "5",
}
EVENT_SEVERITIES = frozenset("012345")
EVENT_CHARS_MAX = {"source": 100, "node": 100, "type": 100, "resource": 100}  # [OFFICIAL]; longer is cut
# Where the mapping says nothing, or what it says is empty for an alert. Times are GMT, in this form [OFFICIAL].
EVENT_TEXTS = {"message_key": "{{ correlation_id }}"}
EVENT_TIME = "%Y-%m-%d %H:%M:%S"
MARK = "incident_bridge_ref"  # in additional_info: which of several events with one key is ours
# Not of the result's table, or not ours to choose: where they belong.
NO_COLUMNS = {
    "sys_id": "ServiceNow gives it",
    "enrichment_mapping_id": "it stands beside `raw_data`, in place of `fields`",
    "raw_data": "it goes with `enrichment_mapping_id`, in place of `fields`",
    **dict.fromkeys(FLAGS, "it stands beside `fields`"),
}
SYS_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledOutput:
    name: str
    kind: str  # of KINDS
    when: Condition | None  # None: always
    fields: tuple[Field, ...] = ()  # a later one counts before an earlier one of the same name, unless it is empty
    info: tuple[Field, ...] = ()  # of an event: the pairs of additional_info
    data_map: str | None = None  # of an enrichment: enrichment_mapping_id; its `fields` hold raw_data, or nothing
    flags: tuple[str, ...] = ()


def render_outputs(outputs: tuple[CompiledOutput, ...], scope: Scope) -> tuple[RenderedOutput, ...]:
    """Those that this alert brings about, in the order of the file. Each has OUTPUT_BYTES_MAX of its own."""
    return tuple([_rendered(one, scope) for one in outputs if one.when is None or one.when(scope)])


def _rendered(one: CompiledOutput, scope: Scope) -> RenderedOutput:
    collected = Output()
    collected.add(one.fields, scope)
    fields = collected.fields
    if one.kind == EVENT:
        _complete_event(fields, one, scope)
    elif one.data_map is not None:
        if not one.fields:  # whole, whatever its length: a part of a document is no document
            fields["raw_data"] = json.dumps(scope.document, ensure_ascii=False, separators=(",", ":"))
        fields = {"enrichment_mapping_id": one.data_map, **fields}
    return RenderedOutput(name=one.name, kind=one.kind, fields=fields, finds=collected.finds, flags=one.flags)


def _complete_event(fields: dict[str, str], one: CompiledOutput, scope: Scope) -> None:
    if fields.get("severity") not in EVENT_SEVERITIES:
        fields["severity"] = EVENT_SEVERITY[scope.severity]
    fields["time_of_event"] = (time_of(fields.get("time_of_event", "")) or scope.facts.last_seen).strftime(EVENT_TIME)
    for name, most in EVENT_CHARS_MAX.items():
        if name in fields:
            fields[name] = cut(fields[name], most)
    info = Output()
    info.add(one.info, scope)
    if info.fields:
        fields["additional_info"] = json.dumps(info.fields, ensure_ascii=False, separators=(",", ":"))


def compile_outputs(node: Node | None, compiler: Compiler, *, source: str) -> tuple[CompiledOutput, ...]:
    """`source` is what an event says it comes from unless it says so itself."""
    report = compiler.report
    if node is None:
        return ()
    if not isinstance(node.value, dict):
        hint = '{alarm: {event: {node: "{{ host }}"}}}'
        report.error(node, "a map of name: output is expected here", hint, at_key=node.value is None)
        return ()
    found = []
    for name, child in node.items():
        if NAME.fullmatch(name) is None:
            report.error(child, f"`{name}` is not a name", "lower-case letters, digits, - and _", at_key=True)
        if (one := _output(name, child, compiler, source)) is not None:
            found.append(one)
    if len(found) > OUTPUTS_MAX:
        report.error(node, f"has {len(found)} outputs; at most {OUTPUTS_MAX} are taken")
    return tuple(found)


def _output(name: str, node: Node, compiler: Compiler, source: str) -> CompiledOutput | None:
    report = compiler.report
    if not report.keys(node, "output"):
        return None
    kinds = [kind for kind in KINDS if node.get(kind) is not None]
    if len(kinds) != 1:
        if not kinds and node.value.keys() - {"when"}:
            return None  # a mistyped word: it is told of
        said = f"has {' and '.join(f'`{kind}`' for kind in kinds)}" if kinds else "says nothing of what it is"
        report.error(node, f"this output {said}", f"it is one of {', '.join(KINDS)}", at_key=True)
        return None
    asked = node.get("when")
    when = compile_condition(asked, compiler.names, AFTER_STATUS, report) if asked is not None else None
    when = compiler.watch.part("output", node, when)
    section = node.get(kinds[0]) or node
    if kinds[0] == EVENT:
        return _event(name, section, when, compiler, source)
    return _enrichment(name, kinds[0], section, when, compiler)


def _event(name: str, node: Node, when: Condition | None, compiler: Compiler, source: str) -> CompiledOutput | None:
    if not compiler.report.keys(node, "event"):
        return None
    fields = [Field(column="source", constant=source)]
    fields += [Field(column=column, text=compiler.literal_text(text)) for column, text in EVENT_TEXTS.items()]
    info: tuple[Field, ...] = ()
    known = SECTIONS["event"][0].split()
    for column, child in node.items():
        if column == "additional_info":
            info = _pairs(child, compiler, "name")
        elif column in known:
            fields.append(compile_value(column, child, compiler, AFTER_CREATE, finds=False))
            if column == "severity":
                _check_severity(child, compiler)
            if column == "time_of_event" and (said := compiler.constant(child)) and time_of(said) is None:
                hint = "the path or the text of one, as {{ .time }}; left out, when the problem was last seen"
                compiler.report.error(child, f"`{said}` is not a time", hint)
    return CompiledOutput(name=name, kind=EVENT, when=when, fields=tuple(fields), info=info)


def _check_severity(node: Node, compiler: Compiler) -> None:
    """The digits that stand in the file; those that alerts bring are looked at when they come."""
    rows = [node]
    if isinstance(node.value, dict):
        table, default = node.get("table"), node.get("default")
        rows = [row for _, row in table.items()] if table is not None else []
        rows += [default] if default is not None else []
    for row in rows:
        digit = compiler.constant(row)
        if digit is not None and digit not in EVENT_SEVERITIES:
            hint = "1 critical, 2 major, 3 minor, 4 warning, 5 OK, 0 clear; left out, the alert's severity decides"
            compiler.report.error(row, f"`{digit}` is not the severity of an event", hint)


def _pairs(node: Node, compiler: Compiler, what: str) -> tuple[Field, ...]:
    """A map of names and texts; with `what` a column, a record to find too."""
    report = compiler.report
    if not isinstance(node.value, dict) or not node.value:
        report.error(node, f"a map of {what}: text is expected here", '{host: "{{ host }}"}')
        return ()
    fields = []
    for name, child in node.items():
        if what == "column" and COLUMN.fullmatch(name) is None:
            hint = "lower-case letters, digits and _"
            report.error(child, f"`{name}` is not a column's name", hint, at_key=True)
        elif what == "column" and name in NO_COLUMNS:
            report.error(child, f"`{name}` is not a column that can be sent", NO_COLUMNS[name], at_key=True)
        elif not name.strip():
            report.error(child, "a name is expected here, and it is empty", at_key=True)
        elif what == "name" and name == MARK:
            hint = "the bridge finds its event by it: give another name"
            report.error(child, f"`{MARK}` is the bridge's own", hint, at_key=True)
        fields.append(compile_value(name, child, compiler, AFTER_CREATE, finds=what == "column"))
    return tuple(fields)


def _enrichment(name: str, kind: str, node: Node, when: Condition | None, compiler: Compiler) -> CompiledOutput | None:
    report = compiler.report
    if not report.keys(node, "enrichment"):
        return None
    columns, data_map, raw = (node.get(key) for key in ("fields", "enrichment_mapping_id", "raw_data"))
    flags = tuple(flag for flag in FLAGS if _flag(flag, node, compiler))
    if (columns is None) == (data_map is None):
        said = "has both `fields` and `enrichment_mapping_id`" if columns else "says nothing of what is sent"
        hint = "`fields`: columns and texts; or `enrichment_mapping_id`: the sys_id of an Enrichment Data Map"
        report.error(node, f"this enrichment {said}", hint, at_key=True)
        return None
    if columns is not None:
        if raw is not None:
            report.error(raw, "`raw_data` is for a data map", "it goes with `enrichment_mapping_id`", at_key=True)
        fields = _pairs(columns, compiler, "column")
        return CompiledOutput(name=name, kind=kind, when=when, fields=fields, flags=flags)
    assert data_map is not None  # noqa: S101 (one of the two is there)
    if not isinstance(data_map.value, str) or SYS_ID.fullmatch(data_map.value) is None:
        hint = "32 characters, 0 to 9 and a to f; in quotes when all are digits"
        report.error(data_map, f"`{data_map.value}` is not a sys_id", hint)
    data = (compile_value("raw_data", raw, compiler, AFTER_CREATE, finds=False),) if raw is not None else ()
    return CompiledOutput(name=name, kind=kind, when=when, fields=data, data_map=str(data_map.value), flags=flags)


def _flag(name: str, node: Node, compiler: Compiler) -> bool:
    child = node.get(name)
    if child is not None and not isinstance(child.value, bool):
        compiler.report.error(child, f"`{name}` is true or false")
    return child is not None and child.value is True
