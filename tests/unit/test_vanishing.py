"""When a field counts as one that was always there, and when as one that has vanished."""

from __future__ import annotations

import pytest

from bridge.correlation.vanishing import ALWAYS_LOOKS, SUDDENLY_LOOKS, Look, Run

ALL, SOME, NONE = (3, 3), (1, 3), (0, 3)
ALWAYS = [ALL] * ALWAYS_LOOKS


@pytest.mark.parametrize(
    ("rule", "looks", "vanished"),
    [
        ("always there, then missing for a while", [*ALWAYS, *[NONE] * SUDDENLY_LOOKS], True),
        ("missing for longer", [*ALWAYS, *[NONE] * 100], True),
        ("not long enough", [*ALWAYS, *[NONE] * (SUDDENLY_LOOKS - 1)], False),
        ("not always there", [*ALWAYS[1:], *[NONE] * 100], False),
        ("missing in some alerts now and then", [*ALWAYS, SOME, *ALWAYS[1:], *[NONE] * 100], False),
        ("missing in some alerts from now on", [*ALWAYS, *[SOME] * 100], False),
        ("it is back", [*ALWAYS, *[NONE] * 100, ALL], False),
        ("it comes and goes", [*ALWAYS, NONE, *ALWAYS[1:], *[NONE] * 100], False),
        ("it came back for good, and vanished again", [*ALWAYS, NONE, *ALWAYS, *[NONE] * SUDDENLY_LOOKS], True),
        ("nothing was looked at", [], False),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_field_has_vanished(rule: str, looks: list[tuple[int, int]], vanished: bool) -> None:
    run = Run()
    for had, of in looks:
        run = run.after(had, of)
    assert run.has_vanished is vanished


def test_a_look_counts_what_its_alerts_have_and_begins_anew_with_another_mapping() -> None:
    look = Look()
    for present in ({".a"}, {".a", ".b"}):
        look.add([".a", ".b"], present)
    assert (look.alerts, look.had) == (2, {".a": 2, ".b": 1})
    look.add([".a", ".c"], [".c"])
    assert (look.alerts, look.had) == (1, {".a": 0, ".c": 1})
