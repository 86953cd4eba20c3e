import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.servicenow.ownership import DISPLAY_CHARACTERS_MAX, display_of, is_ours
from bridge.servicenow.record import Record


def record(correlation_id: str, display: str) -> Record:
    fields = {"correlation_id": correlation_id, "correlation_display": display}
    return Record(sys_id="a" * 32, number="INC1", state="1", fields=fields)


@given(display=st.text(max_size=200), installation=st.text("abcdef0123456789-", min_size=1, max_size=40))
def test_the_display_always_fits_and_marks_the_record_as_ours(display: str, installation: str) -> None:
    shown = display_of(display, installation)
    assert len(shown) <= DISPLAY_CHARACTERS_MAX
    assert shown == shown.lstrip()
    assert is_ours(record("id-1", shown), correlation_id="id-1", installation=installation)


@pytest.mark.parametrize(
    ("correlation_id", "display"),
    [
        ("ID-1", "Elastic · prod"),
        ("id-1", "Elastic · other"),
        ("id-1", "Elastic · prod "),
        ("id-1", "Elastic prod"),
        ("id-1", ""),
        ("", "Elastic · prod"),
    ],
)
def test_another_id_or_mark_is_not_ours(correlation_id: str, display: str) -> None:
    assert not is_ours(record(correlation_id, display), correlation_id="id-1", installation="prod")
