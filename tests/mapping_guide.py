"""docs/mapping-guide.md, played from top to bottom in one folder: its files are written, its commands run.

What a block is, its first line says:

    json FILE, yaml FILE, csv FILE   written to this file
    yaml edit FILE                   these sections replace those of the file, from here on
    yaml                             sections that could stand in the guide's mapping; `# → value` ends an extract's line
    yaml conditions                  conditions, each with `# holds` or `# fails` for the guide's alert
    yaml refused                     as `yaml`, and the `text` block after it is what `bridge check` says of it
    console                          commands, and what they print; a line `…` stands for lines left out

Nothing of the output is altered before it is compared. The clock is the page's: it stands at NOW, and moves on by STEP
with every block of commands. Commands that need a store, STORED, are run when there is one.

    python tests/mapping_guide.py    writes what the commands print today into the page
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

from bridge import wiring
from bridge.alert import Json
from bridge.cli import author, main
from bridge.settings import load_settings

FILE = Path(__file__).parents[1] / "docs/mapping-guide.md"
BLOCK = re.compile(r"^```(\S+)(?: ([^\n]+))?\n([\s\S]*?)^```$", re.MULTILINE)
LEFT_OUT = "…"
NOW = datetime(2026, 6, 1, 9, 0, tzinfo=UTC)
STEP = timedelta(minutes=10)
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

    def play(self, block: Block) -> list[tuple[str, list[str], list[str]]]:
        """Each command that was run, the lines that the page shows, and those that were printed."""
        if block.kind == "console":
            self.now += STEP
            return [
                (command, shown, self.run(command))
                for command, shown in commands(block.text)
                if self.stored or not needs_store(command)
            ]
        if block.info.startswith("edit "):
            file = Path(block.info.removeprefix("edit "))
            file.write_text(with_sections(file.read_text("utf-8"), block.text), "utf-8")
        elif "." in block.info:
            file = Path(block.info)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text, "utf-8")
        return []

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

    def _post(self, words: list[str]) -> list[str]:
        """The hook, in process: `curl URL -H … -d @FILE`."""
        settings = load_settings(Path("bridge.yaml"))
        lock = wiring.prepare(settings).lock
        running = wiring.run(settings, sync=False)
        try:
            headers = dict(word.split(": ", 1) for flag, word in zip(words, words[1:], strict=False) if flag == "-H")
            data = Path(words[words.index("-d") + 1].removeprefix("@")).read_bytes()
            path = "/hooks/" + words[1].partition("/hooks/")[2]
            client = running.app.test_client()
            answer = client.post(path, data=data, headers=headers, content_type="application/json")
            return answer.get_data(as_text=True).splitlines()
        finally:
            running.stop()
            if lock is not None:
                lock.close()


def with_sections(mapping: str, sections: str) -> str:
    """The mapping with these sections in place of its own; new ones go to its end."""
    both = _sections(mapping) | _sections(sections)
    return "".join(both.values())


def _sections(text: str) -> dict[str, str]:
    """Each top-level key's text, and the blank lines and comments above it."""
    found = re.findall(r"(?:^(?:#[^\n]*)?\n)*^[a-z]\S*:[^\n]*\n(?:[ ][^\n]*\n|\n(?=[ ]))*", text, re.MULTILINE)
    return {re.search(r"^([a-z]\S*):", section, re.MULTILINE)[1]: section for section in found}  # type: ignore[index]


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
        patch("getpass.getuser", lambda: "ada"),
    ):
        yield player


def alert_of_the_page(page: str) -> Json:
    return next(json.loads(block.text) for block in blocks(page) if block.kind == "json")


def rewritten(page: str) -> str:
    """The page with what its commands print now."""
    lines = page.splitlines()
    with tempfile.TemporaryDirectory() as folder, world(Path(folder), stored=True) as player:
        played = [(block, player.play(block)) for block in blocks(page)]
    for block, results in reversed(played):
        if block.kind == "console" and not all(agrees(shown, printed) for _, shown, printed in results):
            new = [line for command, _, printed in results for line in (f"$ {command}", *printed)]
            lines[block.line : block.line + block.text.count("\n")] = new
            print(f"{block.title}: other output")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    FILE.write_text(rewritten(FILE.read_text("utf-8")), "utf-8")
