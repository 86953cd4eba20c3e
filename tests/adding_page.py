"""docs/adding-a-source.md, played from top to bottom in the folder of a bridge that runs, before a simulator.

Its files are written, its commands run as commands. What they print must be what the page shows, but for what differs
from one machine to the next: where the bridge listens, the secret, the folder.

    PYTHONPATH=tests:tests/acceptance python tests/adding_page.py    writes what they print today into the page
"""

from __future__ import annotations

import re
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from machine import BRIDGE, Machine
from mapping_guide import Block, agrees, blocks, commands

FILE = Path(__file__).parents[1] / "docs/adding-a-source.md"
TRY = "  try: {mapping: try, auth: {scheme: none}}\n"
URL = "http://127.0.0.1:8080"  # where the page's bridge listens
SECRET, SECRET_SHOWN = re.compile(r"[A-Za-z0-9_-]{43}"), "jT0oK4PZ0sT9xQqGm1uWZ8m3vK2bN7dE5fR6hYcAlXw"
AGO = re.compile(r"\b\d+ (s|min) ago")


@contextmanager
def installed(folder: Path) -> Iterator[Machine]:
    """As the page begins: what `bridge init` made, the simulator, the bridge."""
    machine = Machine(folder / "try", TRY)
    try:
        machine.start_simulator()
        machine.start_bridge()
        yield machine
    finally:
        machine.close()


def play(machine: Machine, block: Block) -> list[tuple[str, list[str], list[str]]]:
    """Each command of the block, the lines that the page shows, and those that were printed."""
    if block.kind == "console":
        return [(command, shown, printed(machine, command)) for command, shown in commands(block.text)]
    file = machine.folder / block.info
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(block.text, "utf-8")
    return []


def printed(machine: Machine, command: str) -> list[str]:
    words = shlex.split(command.replace(URL, machine.url))
    assert words[0] == "bridge", command
    ran = subprocess.run([*BRIDGE, *words[1:]], cwd=machine.folder, capture_output=True, timeout=60, text=True)
    assert ran.returncode == 0, f"{command}: {ran.stderr}"
    text = ran.stdout.replace(machine.url, URL).replace(f"{machine.folder}/", "")
    return [line.rstrip() for line in AGO.sub("now", SECRET.sub(SECRET_SHOWN, text)).splitlines()]


def rewritten(page: str) -> str:
    lines = page.splitlines()
    with tempfile.TemporaryDirectory() as folder, installed(Path(folder)) as machine:
        played = [(block, play(machine, block)) for block in blocks(page)]
    for block, results in reversed(played):
        if not all(agrees(shown, told) for _, shown, told in results):
            new = [line for command, _, told in results for line in (f"$ {command}", *told)]
            lines[block.line : block.line + block.text.count("\n")] = new
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    FILE.write_text(rewritten(FILE.read_text("utf-8")), "utf-8")
