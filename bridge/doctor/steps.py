"""What the doctor looks at, in order: each step stands on those before it."""

from __future__ import annotations

from bridge.doctor import access, connection, environment, outputs, probe, schema
from bridge.doctor.visit import Step, Visit


def _tables(visit: Visit) -> tuple[str, ...]:
    return visit.tables


READS: tuple[Step, ...] = (
    Step(name="name", look=connection.name, needed=True),
    Step(name="tls", look=connection.tls, needed=True),
    Step(name="authentication", look=access.authentication, needed=True),
    Step(name="roles", look=access.roles),
    Step(name="read", look=access.read, parts=_tables),
)

STEPS: tuple[Step, ...] = (
    *READS,
    Step(name="schema", look=schema.schema, parts=schema.parts),
    Step(name="target", look=schema.target, parts=schema.target_parts),
    Step(name="unique index", look=schema.unique_index, parts=schema.unique_parts),
    Step(name="import set", look=access.import_set, parts=access.import_set_parts),
    Step(name="observables", look=access.observables),
    Step(name="find", look=access.find, parts=access.finds),
    Step(name="output", look=outputs.output, parts=outputs.parts),
    Step(name="attachments", look=outputs.attachments, parts=outputs.attachment_parts),
    Step(name="rate limits", look=environment.rate_limits, recalls=True),
    Step(name="people", look=environment.people, recalls=True),
    Step(name="clock", look=environment.clock, recalls=True),
    Step(name="write", look=probe.write, parts=probe.parts),
)
