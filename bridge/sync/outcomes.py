"""What to do after a call that did not simply work: when to try again, and which refusals are a decision's answer."""

from __future__ import annotations

from datetime import datetime, timedelta

from bridge.correlation.retry import backoff
from bridge.errors import Ambiguous, BridgeError, Permanent, Transient

# A close or a reopen refused for one of these is answered by the decision table (tell, or open the next episode).
REFUSALS = frozenset(
    {"data_policy", "business_rule", "acl", "forbidden", "refused"}
    | {"import_error", "import_left", "state_not_carried"}
)


def again_at(error: BridgeError, now: datetime, *, failures: int, jitter: float) -> datetime | None:
    """When the work is due again; None: not before a person has looked."""
    if isinstance(error, Permanent):
        return None
    retry_after = error.retry_after if isinstance(error, Transient) else None
    return now + backoff(failures + 1, jitter=jitter, retry_after=retry_after)


def made_by(error: BridgeError) -> tuple[str, str] | None:
    """sys_id and number of a record that was made all the same."""
    return error.made if isinstance(error, Permanent | Ambiguous) else None


def outcome_word(error: BridgeError) -> str:
    """The intent's outcome."""
    if isinstance(error, Ambiguous):
        return "ambiguous"
    return "permanent" if isinstance(error, Permanent) else "not_applied"


def window_end(deadline: datetime, late_commit: timedelta) -> datetime:
    """After this a write that was not seen has not happened, and will not."""
    return deadline + late_commit
