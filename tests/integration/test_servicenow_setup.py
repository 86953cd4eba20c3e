"""docs/servicenow-setup.md: what it shows of a terminal is what a terminal shows; see servicenow_guide.py."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from mapping_guide import Block, agrees, blocks, table_of_page
from servicenow_guide import FILE, ROLES, SCENES, table, world

from bridge.settings import AuthScheme, load_settings

PAGE = FILE.read_text("utf-8")
BLOCKS = blocks(PAGE)
PLAYED = [block for block in BLOCKS if block.kind == "console" and block.info]

Results = dict[int, list[tuple[str, list[str], list[str]]]]


@pytest.fixture(scope="module")
def used() -> list[tuple[str, str]]:
    """(scheme, way) of bridge.yaml at each command of the page."""
    return []


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory, used: list[tuple[str, str]]) -> Results:
    """By the line of a block: its commands, what the page shows, what they printed."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which the page makes keys with, is not installed here")
    results = {}
    with world(tmp_path_factory.mktemp("setup")) as player:
        for block in BLOCKS:
            results[block.line] = player.play(block)
            file = Path("bridge.yaml")
            if block in PLAYED and file.exists():
                settings = load_settings(file)
                scheme = settings.instances["acme"].auth.scheme
                used += [(scheme.value, _way(target)) for target in settings.targets.values()]
    return results


def _way(target: object) -> str:
    staging = getattr(target, "staging", None)
    table = getattr(target, "table", "")
    return f"{table} {getattr(target, 'write', '')}{f' {staging.table}' if staging else ''}"


@pytest.mark.parametrize("block", PLAYED, ids=lambda block: block.title)
def test_the_page_shows_what_a_terminal_shows(played: Results, block: Block) -> None:
    for command, shown, printed in played[block.line]:
        assert agrees(shown, printed), f"{command}\n" + "\n".join(printed)


def test_every_scene_is_played_once_or_more_and_there_are_no_others() -> None:
    assert {block.info for block in PLAYED} == set(SCENES)


@pytest.mark.parametrize("scheme", AuthScheme)
def test_every_scheme_is_gone_through(played: Results, used: list[tuple[str, str]], scheme: AuthScheme) -> None:
    assert played
    assert scheme.value in {scheme for scheme, _ in used}


@pytest.mark.parametrize(
    "way",
    [
        "incident table",
        "sn_si_incident table",
        "incident unique",
        "incident import_set u_bridge_incident",
        "incident import_set x_elas2_inc_int_elastic_incident",
        "sn_si_incident import_set sn_si_incident_import",
    ],
)
def test_every_way_of_writing_is_gone_through(played: Results, used: list[tuple[str, str]], way: str) -> None:
    assert played
    assert way in {way for _, way in used}


def test_the_table_of_roles_is_the_doctors() -> None:
    assert table_of_page(PAGE, ROLES) == table()


def test_links_of_the_page_lead_somewhere() -> None:
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```[\s\S]*?^```$", "", PAGE, flags=re.MULTILINE), re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
    links = set(re.findall(r"\]\(([^)]+)\)", PAGE))
    assert {link[1:] for link in links if link.startswith("#")} <= anchors
    assert [
        link for link in links if not link.startswith("#") and not (FILE.parent / link.partition("#")[0]).exists()
    ] == []
