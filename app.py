"""WSGI entry, for those who run gunicorn themselves; `bridge serve` does the same with everything set.

export BRIDGE_CONFIG=bridge.yaml
gunicorn --worker-class bridge.web.arrivals.Worker --threads 32 --workers 1 --timeout 0 app:app
"""

from __future__ import annotations

import atexit
import os
import sys
from pathlib import Path

from bridge import logs
from bridge.settings import load_settings
from bridge.wiring import Role, prepare, run

logs.set_up(sys.stderr)
_settings = load_settings(Path(os.environ.get("BRIDGE_CONFIG", "bridge.yaml")))
_prepared = prepare(_settings, Role.ALL)
_running = run(_settings, _prepared, Role.ALL)
atexit.register(_running.stop)
app = _running.app
