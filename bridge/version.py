"""Which version of the bridge this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed


def version() -> str:
    """As it was installed; "unknown" of a checkout that never was."""
    try:
        return installed("incident-bridge")
    except PackageNotFoundError:
        return "unknown"
