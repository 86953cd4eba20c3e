"""The hours in which a suppression holds: on the clock of a place, over midnight, and when the clocks change."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime

import pytest
from small_mapping import ALERT, NOW, mapping, problems

NIGHT = '{days: [sat], from: "22:00", to: "04:00", tz: Europe/Berlin}'


def suppressed(window: str, now: str | None, alert: dict[str, str] | None = None) -> bool:
    section = f"[{{name: n, reason: r, permanent: true, when: {{.host: h}}, window: {window}}}]"
    moment = datetime.fromisoformat(now).astimezone(UTC) if now else None
    return mapping(suppress=section, time=".at").map(ALERT | (alert or {}), now=moment).suppressed_by is not None


@pytest.mark.parametrize(
    ("window", "now", "expected"),
    [
        # Saturday 2026-11-28, Berlin is at UTC+1
        (NIGHT, "2026-11-28T22:00+01:00", True),
        (NIGHT, "2026-11-28T21:59:59+01:00", False),
        (NIGHT, "2026-11-28T21:00Z", True),
        (NIGHT, "2026-11-29T03:59:59+01:00", True),
        (NIGHT, "2026-11-29T04:00+01:00", False),
        (NIGHT, "2026-11-28T03:00+01:00", False),  # the night from Friday on
        (NIGHT, "2026-11-29T22:30+01:00", False),
        # in summer Berlin is at UTC+2; Saturday 2026-08-01
        (NIGHT, "2026-08-01T20:00Z", True),
        (NIGHT, "2026-08-02T01:59Z", True),
        (NIGHT, "2026-08-02T02:00Z", False),
        # the night in which the hour from 2 to 3 comes twice: Saturday 2026-10-24
        (NIGHT, "2026-10-25T02:59Z", True),
        (NIGHT, "2026-10-25T03:00Z", False),
        ('{from: "09:00", to: "17:00", tz: UTC}', "2026-11-25T09:00Z", True),
        ('{from: "09:00", to: "17:00", tz: UTC}', "2026-11-25T17:00Z", False),
        ('{days: [mon, wed], from: "09:00", to: "17:00", tz: UTC}', "2026-11-25T12:00Z", True),
        ('{days: [mon], from: "09:00", to: "17:00", tz: UTC}', "2026-11-25T12:00Z", False),
        ("{days: sun, tz: Asia/Tokyo}", "2026-11-28T15:00Z", True),
        ("{days: sun, tz: Asia/Tokyo}", "2026-11-29T15:00Z", False),
        ('{from: "22:00", to: "00:00", tz: UTC}', "2026-11-25T23:59Z", True),
        ('{from: "22:00", to: "00:00", tz: UTC}', "2026-11-25T00:00Z", False),
        ("{days: [sat], tz: America/New_York}", "9999-12-31T23:59:59Z", False),
        ("{days: [sat], tz: America/New_York}", "0001-01-01T00:00:00Z", False),
    ],
)
def test_a_suppression_holds_within_its_window(window: str, now: str, expected: bool) -> None:
    assert suppressed(window, now) is expected


def test_without_a_time_of_its_own_the_alerts_is_asked() -> None:
    assert suppressed(NIGHT, None, {"at": "2026-11-28T21:30:00Z"})
    assert not suppressed(NIGHT, None, {"at": "2026-11-28T20:30:00Z"})


def test_without_any_time_a_window_keeps_nothing_quiet() -> None:
    assert not suppressed("{days: [mon, tue, wed, thu, fri, sat, sun], tz: UTC}", None)


def test_the_next_suppression_is_asked_when_a_window_is_shut() -> None:
    compiled = mapping(
        suppress=f"""- {{name: night, reason: r, permanent: true, when: {{.host: h}}, window: {NIGHT}}}
- {{name: always, reason: r, permanent: true, when: {{.host: h}}}}"""
    )
    assert compiled.map(ALERT, now=NOW).suppressed_by == "always"


def test_a_machine_without_time_zones_is_told_apart_from_a_wrong_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoneinfo, "available_timezones", set)
    (problem,) = problems(
        suppress="[{name: n, reason: r, permanent: true, when: {.a: b}, window: {days: sat, tz: Europe/Nowhere}}]"
    )
    assert "this machine knows no time zones (install the package tzdata)" in problem


@pytest.mark.parametrize(
    ("window", "words"),
    [
        ('{days: [sat], from: "22:00", to: "04:00"}', "the key `tz` is missing"),
        ("{tz: UTC}", "a window has days, hours or both"),
        ('{from: "22:00", tz: UTC}', "`from` and `to` go together"),
        ('{from: "22:00", to: "22:00", tz: UTC}', "ends when it begins"),
        ('{from: "22:00", to: "24:00", tz: UTC}', "`24:00` is not a time of day"),
        ('{from: "9:00", to: "17:00", tz: UTC}', "`9:00` is not a time of day"),
        ("{from: 900, to: 17:00, tz: UTC}", "`900` is not a time of day"),
        ("{days: [saturday], tz: UTC}", "`saturday` is not a day"),
        ("{days: [Sat], tz: UTC}", "did you mean `sat`"),
        ("{days: [], tz: UTC}", "names no day"),
        ("{days: [sat], tz: Europe/Berln}", "did you mean `Europe/Berlin`"),
        ("{days: [sat], tz: ../../etc/passwd}", "is not a time zone"),
        ("{days: [sat], tz: /etc/localtime}", "is not a time zone"),
        ("{days: [sat], tz: Europe}", "is not a time zone"),
        ("{days: [sat], tz: ''}", "is not a time zone"),
        ("{days: [sat], tz: 7}", "is not a time zone"),
        ("{days: [sat], timezone: UTC}", "there is no key `timezone`"),
        ("sat", "a map with the keys days, from, to, tz"),
    ],
)
def test_a_wrong_window_is_told(window: str, words: str) -> None:
    found = problems(suppress=f"[{{name: n, reason: r, permanent: true, when: {{.a: b}}, window: {window}}}]")
    assert any(words in problem for problem in found)
