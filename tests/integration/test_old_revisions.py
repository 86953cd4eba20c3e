"""Old revisions that sync compiles again are kept for a while, and not without end."""

from __future__ import annotations

import pytest
from intake_world import PROBE, library_of

from bridge.store.engine import Store
from bridge.sync import alert


def test_old_revisions_are_kept_up_to_a_bound(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alert, "OLD_REVISIONS_MAX", 2)
    library = library_of(store)
    speakers = alert.Alerts(store, library)
    ids = [library_of(store, f"{PROBE}# {number}\n")["probe"].revision_id for number in range(3)]
    assert [speakers._old(row_id).revision_id for row_id in ids] == ids
    assert speakers._old(ids[-1]) is speakers._old(ids[-1])
    assert speakers._old.cache_info().currsize == 2
