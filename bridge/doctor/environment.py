"""Steps: what the answers so far said about limits and time."""

from __future__ import annotations

from bridge.correlation.reconcile import pause_after
from bridge.doctor.causes import causes_of
from bridge.doctor.finding import Cause, Finding, not_tested, ok, wrong
from bridge.doctor.visit import Visit
from bridge.sync.burst import CALLS_MAX

SHOWN_CHARACTERS = 20  # of a header that cannot be read
SEEN_SECONDS_MAX = 60.0
CLOCK_SECONDS_MAX = 60.0  # an answer's Date has whole seconds, and is older by its way to here


def rate_limits(visit: Visit, _part: str) -> Finding:
    limited = [heard.raw.headers for heard in visit.heard if heard.raw.headers.get("X-RateLimit-Limit")]
    if not limited:
        return not_tested("No answer carried X-RateLimit headers: no rule counts this user's calls, as far as is seen.")
    text, rule = limited[-1].get("X-RateLimit-Limit", ""), limited[-1].get("X-RateLimit-Rule", "")
    if not (text.isascii() and text.isdigit()):
        return not_tested(f"X-RateLimit-Limit is {text[:SHOWN_CHARACTERS]!r}, which is no number of calls.")
    allowed, budget = int(text), visit.instance.limits.calls_per_hour
    said = f"The rule {rule} allows {text} calls an hour, the bridge takes at most {budget}."
    if allowed >= budget:
        return ok(said)
    what = "The bridge will be turned away before its own limit holds it back."
    do = f"Set limits.calls_per_hour of the instance to {allowed} or less, or raise the rule for the integration user."
    return wrong(said, Cause(what=what, do=do))


def people(visit: Visit, _part: str) -> Finding:
    """How soon what people change is seen: it may cost a tenth of the instance's calls, and no more."""
    budget = visit.instance.limits.calls_per_hour
    seconds, longest = (pause_after(calls, budget).total_seconds() for calls in (len(visit.tables), CALLS_MAX))
    said = f"What people change in the incidents is seen within {seconds:.0f} s"
    said += f", and after a turn with much to ask within {longest:.0f} s." if longest > seconds else "."
    if seconds <= SEEN_SECONDS_MAX:
        return ok(said) if visit.taken else not_tested("No call was taken: what people change is not seen.")
    what = "Looking for it may take a tenth of limits.calls_per_hour of the instance."
    return wrong(said, Cause(what=what, do="Raise that, if ServiceNow allows more calls."))


def clock(visit: Visit, _part: str) -> Finding:
    ahead = visit.clock_ahead
    if ahead is None:
        return not_tested("No answer carried a Date.")
    said = f"This clock and the instance's differ by {abs(ahead):.0f} s."
    return ok(said) if abs(ahead) <= CLOCK_SECONDS_MAX else wrong(said, *causes_of(visit.seen("clock")))
