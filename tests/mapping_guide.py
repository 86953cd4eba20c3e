"""docs/mapping-guide.md, played from top to bottom in one folder: its files are written, its commands run.

What a block is, its first line says:

    json FILE, yaml FILE, csv FILE   written to this file
    yaml edit FILE                   these sections replace those of the file, from here on
    yaml                             sections that could stand in the guide's mapping; an extract may end in `# → value`
    yaml conditions                  conditions, each with `# holds` or `# fails` for the guide's alert
    yaml checked                     as `yaml`; the comments at its end are what `bridge check` says of it
    console                          commands, and what they print; a line `…` stands for lines left out

Of the output nothing is altered before it is compared but blanks at the ends of lines. The clock is the page's: it
stands at NOW, and moves on by STEP with every block of commands; the user is called ada. Commands that need a store,
STORED, are run when there is one.

    python tests/mapping_guide.py    writes what the commands print today into the page
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

from bridge import wiring
from bridge.cli import author, main
from bridge.correlation.identity import ID_CHARACTERS_MAX
from bridge.correlation.policy import CORRELATIONS_PER_INCIDENT_MAX, NOTES_PER_EPISODE_MAX
from bridge.errors import Misconfigured
from bridge.mapping.functions import FUNCTIONS
from bridge.mapping.load import INCLUDES_MAX, load_mappings
from bridge.mapping.lookups import LOOKUP_BYTES_MAX, LOOKUP_ROWS_MAX, LOOKUPS_MAX
from bridge.mapping.model import (
    ALERTS_PER_DELIVERY_MAX,
    EXTRACT_DEPTH_MAX,
    EXTRACTS_MAX,
    OUTPUT_BYTES_MAX,
    OUTPUTS_MAX,
    UNTIL_DAYS_MAX,
)
from bridge.mapping.pattern import PATTERN_CHARS_MAX
from bridge.mapping.values import LIST_ITEMS_MAX
from bridge.settings import load_settings
from bridge.yamlfile import YAML_BYTES_MAX

FILE = Path(__file__).parents[1] / "docs/mapping-guide.md"
BLOCK = re.compile(r"^```(\S+)(?: ([^\n]+))?\n([\s\S]*?)^```$", re.MULTILINE)
MAPPING = Path("mappings/doorman.yaml")  # below the working folder
REVISION = re.compile(r"\b[0-9a-f]{12}\b")
LEFT_OUT = "…"
NOW = datetime(2026, 6, 1, 9, 0, tzinfo=UTC)
STEP = timedelta(minutes=1)
STORED = ("db", "mapping plan", "mapping publish", "mapping revisions", "mapping diff", "mapping rollback", "curl")
ENVIRONMENT = {"SERVICENOW_PASSWORD": "only for the page", "DOORMAN_TOKEN": "only for the page, and long enough"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    kind: str
    info: str  # the rest of its first line
    text: str
    line: int  # of its first line, in the page
    heading: str  # the nearest above it

    @property
    def title(self) -> str:
        return f"{self.heading}, line {self.line}"


def blocks(page: str) -> list[Block]:
    found = []
    for match in BLOCK.finditer(page):
        above = page[: match.start()]
        headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", above), re.MULTILINE)
        found.append(
            Block(kind=match[1], info=match[2] or "", text=match[3], line=above.count("\n") + 1, heading=headings[-1])
        )
    return found


def commands(text: str) -> list[tuple[str, list[str]]]:
    """Each command of a console block, and the lines that it prints."""
    found: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def said_of(block: Block) -> tuple[str, list[str]]:
    """The sections of a `checked` block, and the comments at its end."""
    sections, _, comments = block.text.partition("\n# ")
    return f"{sections.rstrip()}\n", f"# {comments}".splitlines() if comments else []


def needs_store(command: str) -> bool:
    return command.removeprefix("bridge ").startswith(STORED)


def agrees(shown: list[str], printed: list[str]) -> bool:
    """Whether this is what was printed, but for what `…` leaves out."""
    pattern = "".join(r"(?:.*\n)+?" if line == LEFT_OUT else re.escape(line) + "\n" for line in shown)
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in printed)) is not None


class Player:
    """Plays the blocks of the page in the working folder."""

    def __init__(self, *, stored: bool) -> None:
        self.stored = stored
        self.now = NOW
        self.renamed: dict[str, str] = {}  # revisions as the page names them -> as they are named today

    def play(self, block: Block) -> list[tuple[str, list[str], list[str]]]:
        """Each command that was run, the lines that the page shows, and those that were printed."""
        if block.kind == "console":
            self.now += STEP
            return [
                self._printed(command, shown)
                for command, shown in commands(block.text)
                if self.stored or not needs_store(command)
            ]
        if block.info == "checked":
            sections, comments = said_of(block)
            return [("bridge check", comments, self._checked(sections))]
        if block.info.startswith("edit "):
            file = Path(block.info.removeprefix("edit "))
            file.write_text(with_sections(file.read_text("utf-8"), block.text), "utf-8")
        elif "." in block.info:
            file = Path(block.info)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text, "utf-8")
        return []

    def _printed(self, command: str, shown: list[str]) -> tuple[str, list[str], list[str]]:
        for before, now in self.renamed.items():
            command = command.replace(before, now)
        printed = self.run(command)
        old, new = (REVISION.findall("\n".join(lines)) for lines in (shown, printed))
        if len(old) == len(new):
            self.renamed |= dict(zip(old, new, strict=True))
        return command, shown, printed

    def run(self, command: str) -> list[str]:
        """What it prints, on both streams; with `; echo $?` its exit status too, else that is 0."""
        command, asks_status, _ = command.partition("; echo $?")
        words = shlex.split(command)
        if words[0] == "cat":
            return Path(words[1]).read_text("utf-8").splitlines()
        if words[0] == "curl":
            return self._post(words)
        assert words[0] == "bridge", command
        output = io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            status = main(words[1:])
        assert asks_status or status == 0, f"{command}: {output.getvalue()}"
        return [line.rstrip() for line in output.getvalue().splitlines()] + [str(status)] * bool(asks_status)

    def _checked(self, sections: str) -> list[str]:
        """What is said of the mapping with these sections; the file stays as it is. Lints need a bridge.yaml."""
        before = MAPPING.read_text("utf-8")
        MAPPING.write_text(with_sections(before, sections), "utf-8")
        try:
            load_mappings(MAPPING.parent, [MAPPING.stem])
            told = [line for line in self.run("bridge check") if line.startswith(str(MAPPING))]
        except Misconfigured as error:
            told = [str(problem) for problem in error.problems]
        finally:
            MAPPING.write_text(before, "utf-8")
        return [f"# {line}" for line in told]

    def _post(self, words: list[str]) -> list[str]:
        """The hook, in process: `curl URL -H … -d @FILE`."""
        settings = load_settings(Path("bridge.yaml"))
        prepared = wiring.prepare(settings, wiring.Role.ALL)
        running = wiring.run(settings, prepared, wiring.Role.INTAKE)
        try:
            words = [os.path.expandvars(word) for word in words]
            headers = dict(word.split(": ", 1) for flag, word in pairwise(words) if flag == "-H")
            data = Path(words[words.index("-d") + 1].removeprefix("@")).read_bytes()
            path = "/hooks/" + words[1].partition("/hooks/")[2]
            client = running.app.test_client()
            answer = client.post(path, data=data, headers=headers, content_type="application/json")
            return answer.get_data(as_text=True).splitlines()
        finally:
            running.stop()
            if prepared.lock is not None:
                prepared.lock.close()


def with_sections(mapping: str, sections: str) -> str:
    """The mapping with these sections in place of its own; new ones go to its end."""
    both = _sections(mapping)
    for key, section in _sections(sections).items():
        above = re.match(r"\n*", both.get(key, "\n"))
        both[key] = (above.group() if above else "") + section.lstrip("\n")
    return "".join(both.values())


def _sections(text: str) -> dict[str, str]:
    """Each top-level key's text, and the blank lines and comments above it."""
    found = re.finditer(r"(?:^(?:#[^\n]*)?\n)*^([a-z]\S*):[^\n]*\n(?:[ ][^\n]*\n|\n+(?=[ ]))*", text, re.MULTILINE)
    return {section[1]: section.group() for section in found}


@contextlib.contextmanager
def world(folder: Path, *, stored: bool) -> Iterator[Player]:
    """A player at work in `folder`, as the user `ada`, by the page's clock."""
    player = Player(stored=stored)
    (folder / "mappings").mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "BRIDGE_CONFIG"} | ENVIRONMENT
    with (
        contextlib.chdir(folder),
        patch.dict(os.environ, environment, clear=True),
        patch.object(wiring, "utc_now", lambda: player.now),
        patch.object(author, "_git", lambda *_: None),
        patch("bridge.cli.person.os_user", lambda: "ada"),
    ):
        yield player


LIMITS = [
    ("extracts of a mapping; how deep they build on one another", f"{EXTRACTS_MAX}; {EXTRACT_DEPTH_MAX}"),
    (
        "alerts of one delivery at once (`each.limit`); the rest waits, and each replay takes the next",
        f"{ALERTS_PER_DELIVERY_MAX:,}",
    ),
    ("elements that a `[]` or a `split` yields", f"{LIST_ITEMS_MAX:,}"),
    ("characters that a pattern looks at", f"{PATTERN_CHARS_MAX:,}"),
    ("rendered for one alert, fields and observables together", f"{OUTPUT_BYTES_MAX // 1024} KB"),
    ("outputs of a mapping; what each of them renders", f"{OUTPUTS_MAX}; {OUTPUT_BYTES_MAX // 1024} KB"),
    ("characters of a correlation ID", f"{ID_CHARACTERS_MAX}"),
    ("work notes about repeats in one episode", f"{NOTES_PER_EPISODE_MAX}"),
    ("problems that share an incident", f"{CORRELATIONS_PER_INCIDENT_MAX}"),
    ("a mapping file; files that it includes", f"{YAML_BYTES_MAX // 1024} KB; {INCLUDES_MAX}"),
    ("a look-up table; its rows", f"{LOOKUP_BYTES_MAX // 1024**2} MB; {LOOKUP_ROWS_MAX:,}"),
    ("look-up tables that one mapping asks", f"{LOOKUPS_MAX}"),
    ("days until a suppression ends", f"{UNTIL_DAYS_MAX}"),
]
TABLES: dict[str, Sequence[tuple[str, ...]]] = {  # by their heads: the rows, as the code has them
    "| Function | Does | Example | Gives |": [
        (f"`{one.usage}`", one.doc.replace("<", r"\<"), f"`{one.example}`", f"`{one.gives}`")
        for one in FUNCTIONS.values()
    ],
    "| What | At most |": LIMITS,
}


def table(head: str) -> str:
    """The table under this head, as it should stand in the page."""
    rows = [" | ".join(cell.replace("|", r"\|") for cell in row) for row in TABLES[head]]
    return "\n".join([head, "|---" * (head.count("|") - 1) + "|", *(f"| {row} |" for row in rows)])


def table_of_page(page: str, head: str) -> str:
    return next(part for part in page.split("\n\n") if part.startswith(head)).rstrip("\n")


def rewritten(page: str) -> str:
    """The page as it would be true today. Where `…` no longer stands for what is left out, all is shown."""
    lines = page.splitlines()
    with tempfile.TemporaryDirectory() as folder, world(Path(folder), stored=True) as player:
        played = [(block, player.play(block)) for block in blocks(page)]
    for block, results in reversed(played):
        if all(agrees(shown, printed) for _, shown, printed in results):
            continue
        if block.info == "checked":
            new = said_of(block)[0].splitlines() + results[0][2]
        else:
            new = [line for command, _, printed in results for line in (f"$ {command}", *printed)]
        lines[block.line : block.line + block.text.count("\n")] = new
        print(f"{block.title}: other output")
    page = "\n".join(lines) + "\n"
    for head in TABLES:
        page = page.replace(table_of_page(page, head), table(head))
    return page


if __name__ == "__main__":
    FILE.write_text(rewritten(FILE.read_text("utf-8")), "utf-8")
