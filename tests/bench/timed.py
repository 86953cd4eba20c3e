"""`bridge`, which notes of each thread how long it was from one commit or send to the next.

    python tests/bench/timed.py FILE serve --config bridge.yaml

Appended to FILE, a JSON line each: [from, to, milliseconds, of these on a processor], by the names of crashpoint.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from functools import partial

from bridge import crashpoint
from bridge.cli import main

_last = threading.local()


def note(file: int, point: str) -> None:
    at, on_processor = time.perf_counter(), time.thread_time()
    if (before := getattr(_last, "passed", None)) is not None:
        spans = [(at - before[1]) * 1e3, (on_processor - before[2]) * 1e3]
        os.write(file, json.dumps([before[0], point, *spans]).encode() + b"\n")  # appended whole
    _last.passed = point, time.perf_counter(), time.thread_time()


if __name__ == "__main__":
    crashpoint.listen(partial(note, os.open(sys.argv.pop(1), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)))
    sys.exit(main())
