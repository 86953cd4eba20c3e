"""Types of ours are decoded by threads that begin at the same moment."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.correlation.policy import Episode
from bridge.typed import decode

# In a process of its own, for what goes wrong ends it. Every type is new to all of the threads at once.
TOGETHER = """
import dataclasses, sys, threading
from bridge.typed import decode

sys.setswitchinterval(1e-6)
kinds = []
for n in range(150):
    inner = dataclasses.make_dataclass(f"Inner{n}", [(f"f{i}", "int | None", None) for i in range(12)])
    fields = [("one", inner), ("many", list[inner]), *[(f"f{i}", "str | None", None) for i in range(12)]]
    kinds.append(dataclasses.make_dataclass(f"Outer{n}", fields))
begin = threading.Barrier(8)

def run():
    for kind in kinds:
        begin.wait()
        assert decode(b'{"one": {"f1": 1}, "many": [{"f2": 3}], "f3": "x"}', kind).one.f1 == 1

threads = [threading.Thread(target=run) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("done")
"""


def test_threads_may_be_the_first_to_decode_a_type_together() -> None:
    done = subprocess.run([sys.executable, "-c", TOGETHER], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


def test_nothing_else_decodes_into_types() -> None:
    package = Path(__file__).parents[2] / "bridge"
    typed = re.compile(r"json\.decode\([^\n]*type=|json\.Decoder\(|msgspec\.convert\(")
    assert [path.name for path in package.rglob("*.py") if typed.search(path.read_text("utf-8"))] == ["typed.py"]


def test_what_is_no_such_type_is_said() -> None:
    with pytest.raises(ValueError, match="Expected `object`"):
        decode(b"[]", Episode)
