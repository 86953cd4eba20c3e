"""What the bridge tells people of itself: troubles that last become an incident's words. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from bridge.alert import Severity


class Kind(StrEnum):
    """What is wrong with a source."""

    QUARANTINE = "quarantine"  # alerts that could not be mapped
    FAILURES = "failures"  # problems that wait for a person
    REFUSED = "refused"  # deliveries that were turned away
    VANISHED = "vanished"  # fields that were always there are missing
    SILENT = "silent"  # nothing came for longer than `expect_every`


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    source: str
    kind: Kind
    reasons: Mapping[str, int]  # code -> how many; of a silence nothing

    @property
    def name(self) -> str:
        return f"{self.source}/{self.kind.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lamp:
    """One incident about the bridge, as it should be."""

    id: str  # its correlation ID
    target: str
    tenant: str  # of the target
    title: str
    text: str
    severity: Severity
    group: str  # assignment group; "": ServiceNow's rules decide
    signature: str  # differs when there is news to tell: another trouble or reason, or twice as many


SAID = {
    Kind.QUARANTINE: (
        "alerts could not be mapped",
        "`bridge quarantine list` says why. Mend the mapping {mapping}, and they are mapped by themselves; what never "
        "can be goes by `bridge quarantine discard`.",
    ),
    Kind.FAILURES: (
        "problems wait for a person",
        "`bridge incidents list` says what to do for each; then `bridge incidents sync --all`.",
    ),
    Kind.REFUSED: (
        "deliveries were refused",
        "Compare what the sender is set to with the source in bridge.yaml: secret, scheme, size. `bridge log show` has "
        "the reasons. It is over when a delivery was taken and none refused for an hour.",
    ),
    Kind.VANISHED: (
        "fields that were always there are missing",
        "The product sends something else than before: compare a new alert (`bridge alerts list`) with the mapping "
        "{mapping}. It is over when they are back, or when the mapping reads them no more.",
    ),
    Kind.SILENT: (
        "nothing arrives",
        "Its webhook is off, or points elsewhere: send a test from there, and look at `bridge alerts list`.",
    ),
}


def attention(
    source: str,
    troubles: Iterable[Trouble],
    since: Mapping[str, datetime],
    *,
    mapping: str,
    target: str,
    tenant: str,
    group: str,
    after: timedelta,
    now: datetime,
) -> Lamp | None:
    """The incident about a source; None while nothing has lasted for `after`. `since`: by the name of a trouble.

    A silence, refusals and fields that have vanished have lasted long enough by what they are.
    """
    lasting = [
        trouble
        for trouble in sorted(troubles, key=lambda one: one.kind)
        if trouble.kind in (Kind.SILENT, Kind.REFUSED, Kind.VANISHED) or now - since.get(trouble.name, now) >= after
    ]
    if not lasting:
        return None
    told = [(trouble, *SAID[trouble.kind]) for trouble in lasting]
    return Lamp(
        id=f"attention:{source}",
        target=target,
        tenant=tenant,
        title=f"{source}: {', '.join(what for _, what, _ in told)}",
        text="\n\n".join(f"{_counted(one, what)}\n{do.format(mapping=mapping)}" for one, what, do in told),
        severity=Severity.MEDIUM,
        group=group,
        signature=" ".join(f"{one.kind}:{reason}:{_size(many)}" for one in lasting for reason, many in _sorted(one)),
    )


def flood(*, target: str, tenant: str, mapping: str, owner: str, problems: int) -> Lamp:
    """The incident that tells the owners of a mapping that the brake of a target holds its problems."""
    return Lamp(
        id=f"flood:{target}:{mapping}",
        target=target,
        tenant=tenant,
        title=f"flood from {mapping}: {problems} problems wait",
        text=(
            f"More new problems came than `max_creates_per_hour` of the target {target} takes. What waits is created "
            "as the hour goes by, the worst first.\n"
            f"The mapping's owner is {owner}: is each of these a problem of its own? A coarser correlation ID or a "
            "suppression may be what is wanted.\n"
            f"`bridge incidents list` shows them; `bridge targets release {target}` creates them at once."
        ),
        severity=Severity.HIGH,
        group="",
        signature=str(_size(problems)),
    )


def _counted(trouble: Trouble, what: str) -> str:
    if not trouble.reasons:
        return f"{trouble.source}: {what}."
    if trouble.kind is Kind.VANISHED:
        return f"{trouble.source}: {what}: {', '.join(sorted(trouble.reasons))}."
    reasons = ", ".join(f"{reason}: {many}" for reason, many in _sorted(trouble))
    return f"{trouble.source}: {sum(trouble.reasons.values())} {what} ({reasons})."


def _sorted(trouble: Trouble) -> list[tuple[str, int]]:
    return sorted(trouble.reasons.items()) or [("", 1)]


def _size(many: int) -> int:
    """Rises with every doubling: a count that grows by one is no news."""
    return many.bit_length()
