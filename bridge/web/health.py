"""Is the process alive, would it take a delivery, what is it busy with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
from flask import Blueprint, Response
from prometheus_client import CONTENT_TYPE_LATEST

from bridge.metrics import Metrics
from bridge.web.patience import Patient

CHECK_SECONDS_MAX = 1.0  # a database that hangs must not hang those who ask whether all is well


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that must be in order."""

    name: str  # "store", "intake", "mappings", "sync", "instances", "targets"
    refuses_deliveries: bool  # True: with this wrong, a delivery would be answered 503
    problem: Callable[[], str]  # "" when in order, else a sentence that says what to do; must not raise


def health(*, checks: Sequence[Check], metrics: Metrics) -> Blueprint:
    blueprint = Blueprint("health", __name__)
    look = Patient(lambda: [(check, check.problem()) for check in checks], seconds=CHECK_SECONDS_MAX)

    @blueprint.get("/livez")
    def livez() -> Response:
        return _json({"alive": True}, 200)

    @blueprint.get("/readyz")
    def readyz() -> Response:
        """503 only when a delivery would be refused. All else that is wrong is named, and no sender turned away."""
        found = look()
        if found is None:
            found = [(_HANGS, _HANGS.problem())]
        ready = not any(text and check.refuses_deliveries for check, text in found)
        problems = [
            {"name": check.name, "refuses_deliveries": check.refuses_deliveries, "problem": text}
            for check, text in found
            if text
        ]
        return _json({"ready": ready, "problems": problems}, 200 if ready else 503)

    @blueprint.get("/metrics")
    def metrics_text() -> Response:
        return Response(metrics.text(), content_type=CONTENT_TYPE_LATEST)

    return blueprint


_HANGS = Check(name="store", refuses_deliveries=True, problem=lambda: "the database does not answer: it hangs")


def _json(document: object, status: int) -> Response:
    return Response(msgspec.json.encode(document), status, content_type="application/json")
