from collections.abc import Iterable

import pytest

from bridge.mapping.rendered import Find
from bridge.servicenow.lookup import REMEMBERED_SECONDS, SEVERAL, LookUps

BY_NAME = Find(table="cmdb_ci", by=(("name", "host-a"),))


class Rows:
    """Answers every query with the same rows, and remembers the queries."""

    def __init__(self, *rows: dict[str, str]) -> None:
        self.rows = list(rows)
        self.queries: list[str] = []

    def __call__(
        self, table: str, query: str, fields: Iterable[str], limit: int, deadline: float, /
    ) -> list[dict[str, str]]:
        self.queries.append(f"{table}?{query}")
        return self.rows[:limit]


def one(rows: Rows, find: Find) -> str | None:
    return LookUps(rows).look_up(find, now=0.0, deadline=9.0)


def test_the_one_record_that_matches_is_found_without_regard_to_case() -> None:
    assert one(Rows({"sys_id": "1", "name": "HOST-A"}), BY_NAME) == "1"


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{"sys_id": "1", "name": "another"}],
        [{"sys_id": "1", "name": "another"}, {"sys_id": "2", "name": "host-a"}],
        [{"sys_id": "1"}],
    ],
    ids=["none", "an ignored query", "an ignored query, with more", "a column that is not there"],
)
def test_none_or_others_find_nothing(rows: list[dict[str, str]]) -> None:
    assert one(Rows(*rows), BY_NAME) is None


def test_of_several_none_is_guessed() -> None:
    assert one(Rows({"sys_id": "1", "name": "host-a"}, {"sys_id": "2", "name": "host-a"}), BY_NAME) == SEVERAL


@pytest.mark.parametrize("value", ["", " ", "a^ORname=b", "javascript:gs.getUserID()", " JavaScript:x", "a\nb"])
def test_a_value_that_cannot_stand_in_a_query_is_not_asked(value: str) -> None:
    rows = Rows({"sys_id": "1", "name": value})
    assert one(rows, Find(table="cmdb_ci", by=(("name", value),))) is None
    assert rows.queries == []


def test_the_otherwise_is_tried_next() -> None:
    rows = Rows({"sys_id": "2", "name": "fallback"})
    find = Find(table="cmdb_ci", by=BY_NAME.by, otherwise=Find(table="cmdb_ci", by=(("name", "fallback"),)))
    assert one(rows, find) == "2"


def test_a_group_must_be_active() -> None:
    rows = Rows({"sys_id": "1", "name": "SOC", "active": "true"})
    assert one(rows, Find(table="sys_user_group", by=(("name", "SOC"),))) == "1"
    assert rows.queries == ["sys_user_group?name=SOC^active=true"]


def test_an_answer_is_remembered_until_it_expires() -> None:
    rows = Rows({"sys_id": "1", "name": "host-a"})
    look_ups = LookUps(rows)
    for now in (0.0, REMEMBERED_SECONDS - 1, REMEMBERED_SECONDS):
        assert look_ups.look_up(BY_NAME, now=now, deadline=9.0) == "1"
    assert len(rows.queries) == 2
