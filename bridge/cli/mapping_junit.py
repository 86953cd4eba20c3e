"""The outcome of mapping tests as JUnit XML: a suite for each mapping, a case for each test."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement, indent, tostring

if TYPE_CHECKING:
    from bridge.mapping.trial import Trial

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(trials: Mapping[str, Sequence[Trial]]) -> bytes:
    """The trials of every mapping, each case with the file and line of its test, failures as text."""
    root = Element("testsuites", _attributes("bridge mapping test", [one for ran in trials.values() for one in ran]))
    for name, ran in trials.items():
        suite = SubElement(root, "testsuite", _attributes(name, ran))
        for trial in ran:
            _case(suite, trial)
    indent(root)
    xml: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return xml + b"\n"


def _attributes(name: str, ran: Sequence[Trial]) -> dict[str, str]:
    failures = sum(not trial.passed for trial in ran)
    return {"name": name, "tests": str(len(ran)), "failures": str(failures), "errors": "0", "skipped": "0"}


def _case(suite: Element, trial: Trial) -> None:
    file, _, line = trial.place.rpartition(":")
    case = SubElement(suite, "testcase", name=_text(trial.name), classname=trial.mapping, file=file, line=line)
    if trial.passed:
        return
    first = trial.findings[0]
    failure = SubElement(case, "failure", type=first.key, message=_text(f"{first.step}, {first.key}"))
    failure.text = _text("\n".join(line for finding in trial.findings for line in finding.lines()))


def _text(text: str) -> str:
    return _NOT_XML.sub("�", text)
