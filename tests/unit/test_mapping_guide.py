"""docs/mapping-guide.md: its mappings compile, its values are so, its commands print what it shows.

The commands that need a store are run by tests/integration/test_mapping_guide_store.py.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from mapping_guide import FILE, MAPPING, TABLES, Block, agrees, blocks, table, table_of_page, with_sections, world

from bridge.alert import Json, MappedAlert, Severity, Status
from bridge.mapping.compile import Mapping
from bridge.mapping.conditions import _TESTS
from bridge.mapping.evaluate import FACTS, Scope
from bridge.mapping.expectation import ACTIONS
from bridge.mapping.load import load_mappings
from bridge.mapping.model import EXPECTATIONS, SECTIONS
from bridge.mapping.trial import try_mapping
from bridge.mapping.values import json_text
from bridge.sources.document import decode
from bridge.store.correlation_state import CorrelationState
from bridge.store.naming import Naming

PAGE = FILE.read_text("utf-8")
BLOCKS = blocks(PAGE)
SAYING = [block for block in BLOCKS if block.kind == "console" or block.info == "checked"]
SECTIONS_SHOWN = [block for block in BLOCKS if block.kind == "yaml" and not block.info]
SHOWN_TO_BE_TESTED = [block for block in SECTIONS_SHOWN if "tests:" in block.text]
SHOWN_WITH_VALUES = [block for block in SECTIONS_SHOWN if "# →" in block.text]
CONDITIONS = [
    (condition, said)
    for block in BLOCKS
    if block.info == "conditions"
    for condition, said in re.findall(r"^- (\{.*\})\s+# (holds|fails)", block.text, re.MULTILINE)
]
VALUES = re.compile(r"^  (\w+): .* # → (.+)$", re.MULTILINE)
SAMPLE = "samples/doorman.json"

Played = dict[int, list[tuple[str, list[str], list[str]]]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working folder, as it is at the end of the page."""
    return tmp_path_factory.mktemp("guide")


@pytest.fixture(scope="module")
def states() -> dict[int, str]:
    """By the line of a block: the mapping as it was then."""
    return {}


@pytest.fixture(scope="module")
def played(folder: Path, states: dict[int, str]) -> Played:
    """By the line of a block: its commands, what the page shows, what they printed."""
    results = {}
    with world(folder, stored=False) as player:
        for block in BLOCKS:
            results[block.line] = player.play(block)
            states[block.line] = MAPPING.read_text("utf-8") if MAPPING.exists() else ""
    return results


@pytest.mark.parametrize("block", SAYING, ids=lambda block: block.title)
def test_commands_print_what_the_page_shows(played: Played, block: Block) -> None:
    for command, shown, printed in played[block.line]:
        assert agrees(shown, printed), f"{command}\n" + "\n".join(printed)


class Desk:
    """A copy of the working folder, where a section takes the place of the mapping's own."""

    def __init__(self, mappings: Path, text: str) -> None:
        self.mappings = mappings
        self._text = text

    def mapping(self, sections: str) -> Mapping:
        (self.mappings / MAPPING.name).write_text(with_sections(self._text, sections), "utf-8")
        return load_mappings(self.mappings, [MAPPING.stem])[MAPPING.stem]

    @property
    def sample(self) -> Json:
        return decode((self.mappings / SAMPLE).read_bytes()).value


@pytest.fixture
def desk(played: Played, folder: Path, states: dict[int, str], tmp_path: Path) -> Desk:
    """With the whole mapping of the page, as it stands before it is edited."""
    shutil.copytree(folder / "mappings", tmp_path / "mappings")
    whole = next(block for block in BLOCKS if block.info == str(MAPPING))
    return Desk(tmp_path / "mappings", states[whole.line])


@pytest.mark.parametrize("block", SECTIONS_SHOWN, ids=lambda block: block.title)
def test_sections_of_the_page_compile_and_take_its_alert(desk: Desk, block: Block) -> None:
    mapping = desk.mapping(block.text if "extract:" not in block.text else _beside_its_own(block.text))
    elements, _ = mapping.split(desk.sample)
    assert [mapping.map(element).status for element in elements] == [Status.FIRING]


@pytest.mark.parametrize("block", SHOWN_TO_BE_TESTED, ids=lambda block: block.title)
def test_tests_of_the_page_pass(desk: Desk, block: Block) -> None:
    trials = try_mapping(desk.mapping(block.text), desk.mappings)
    assert [trial.findings for trial in trials] == [()] * len(trials)


@pytest.mark.parametrize("block", SHOWN_WITH_VALUES, ids=lambda block: block.title)
def test_extracts_have_the_values_that_the_page_says(desk: Desk, block: Block) -> None:
    mapping = desk.mapping(_beside_its_own(block.text))
    scope = Scope(desk.sample, mapping.name, mapping.blank.copy())
    said = dict(VALUES.findall(block.text))
    assert len(said) == block.text.count("# →")
    assert {name: _shown(mapping.names.extracts[name](scope)) for name in said} == said


def _beside_its_own(sections: str) -> str:
    """An `extract` of the page stands beside those that the rest of the mapping needs."""
    whole = next(block for block in BLOCKS if block.info == str(MAPPING))
    own = re.search(r"^extract:\n((?:  .*\n)+)", whole.text, re.MULTILINE)
    assert own is not None
    return sections.replace("extract:\n", f"extract:\n{own[1]}")


def _shown(value: Json) -> str:
    return "nothing" if value is None else value if isinstance(value, str) else json_text(value)


@pytest.mark.parametrize(("condition", "said"), CONDITIONS)
def test_conditions_hold_as_the_page_says(desk: Desk, condition: str, said: str) -> None:
    mapping = desk.mapping(f"route:\n  - {{when: {condition}, to: itsm}}\n  - {{to: drop}}\n")
    assert mapping.map(desk.sample).target == ("itsm" if said == "holds" else None)


@pytest.mark.parametrize("head", TABLES)
def test_tables_of_the_page_are_those_of_the_code(head: str) -> None:
    assert table_of_page(PAGE, head) == table(head)


def _vocabulary() -> set[str]:
    sections = {word for known, _ in SECTIONS.values() for word in known.split()}
    modifiers = {*_TESTS, "exists", "in_lookup", "at_least", "at_most", "all"} - {""}
    return sections | modifiers | set(FACTS) | set(EXPECTATIONS) | set(ACTIONS) | {str(one.word) for one in Severity}


@pytest.mark.parametrize("word", sorted(_vocabulary()))
def test_every_word_of_the_language_is_in_the_page(word: str) -> None:
    assert re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", PAGE)


def test_links_within_the_page_lead_somewhere() -> None:
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```[\s\S]*?^```$", "", PAGE, flags=re.MULTILINE), re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) <= anchors


# --- what becomes of a problem whose ID changes: a row of the page's table each


class Names:
    """IDs and the correlations that they lead to, from one delivery to the next."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], CorrelationState] = {}
        self._count = 0

    def alert(self, correlation_id: str, formerly: str | None = None) -> CorrelationState:
        """The correlation that this alert goes to; it is open from then on."""
        naming = Naming(self._known)
        mapped = MappedAlert(
            correlation_id=correlation_id,
            correlation_text=correlation_id,
            status=Status.FIRING,
            severity=Severity.HIGH,
            event_time=None,
            target="itsm",
            route="route[0]",
            suppressed_by=None,
            former_ids=(formerly,) if formerly else (),
        )
        state = naming.name(mapped, tenant="default", source="doorman", mapping="doorman")
        self._known |= naming.states
        state.open = True
        return state


def test_an_open_problem_goes_on_under_its_new_id_and_keeps_the_old_one_in_servicenow() -> None:
    names = Names()
    old = names.alert("old")
    assert names.alert("new", "old") is old
    assert old.correlation_id == "old"


def test_a_closed_problem_is_the_same_one_returning_while_formerly_stands() -> None:
    names = Names()
    old = names.alert("old")
    old.open = False
    assert names.alert("new", "old") is old


def test_a_closed_problem_begins_anew_once_formerly_is_deleted() -> None:
    names = Names()
    old = names.alert("old")
    names.alert("new", "old")
    old.open = False
    assert names.alert("new").correlation_id == "new"


def test_from_coarse_to_fine_all_stay_one_problem_until_it_is_over_and_formerly_is_deleted() -> None:
    names = Names()
    coarse = names.alert("coarse")
    assert names.alert("fine-1", "coarse") is names.alert("fine-2", "coarse") is coarse
    assert names.alert("fine-1") is names.alert("fine-2") is coarse
    coarse.open = False
    assert names.alert("fine-1", "coarse") is coarse
    coarse.open = False
    assert names.alert("fine-1") is not names.alert("fine-2")


def test_from_fine_to_coarse_the_first_heard_of_goes_on_and_the_others_hear_nothing_more() -> None:
    names = Names()
    first, second = names.alert("fine-1"), names.alert("fine-2")
    assert names.alert("coarse", "fine-1") is first
    assert names.alert("coarse", "fine-2") is first
    assert second.open


# --- what the page says is not carried out


def test_what_is_not_carried_out_is_asked_for_by_neither_half() -> None:
    bridge = FILE.parents[1] / "bridge"
    halves = [file for half in ("store", "sync", "servicenow") for file in (bridge / half).glob("*.py")]
    assert len(halves) > 20
    assert not [file.name for file in halves if re.search(r"\.personal\b", file.read_text("utf-8"))]
