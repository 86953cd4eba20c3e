"""From a list of probable causes to the one that it is: each is looked for in the instance's own records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from bridge.doctor import detect_keys, detect_rights, detect_users
from bridge.doctor.finding import Cause, Certainty, Finding, Lead
from bridge.doctor.inquiry import Inquiry, Verdict
from bridge.doctor.records import Unreadable

# What a row of the causes names in `by`. A detector reads, and may raise Unreadable.
DETECTORS: Mapping[str, Callable[[Inquiry], Verdict]] = {
    "app_role": detect_rights.app_role,
    "assertion_clock": detect_users.assertion_clock,
    "assertion_user": detect_users.assertion_user,
    "basic_restriction": detect_users.basic_restriction,
    "client": detect_users.client,
    "client_grant": detect_users.client_grant,
    "client_user": detect_users.client_user,
    "key": detect_keys.key,
    "key_plugin": detect_keys.key_plugin,
    "key_user": detect_keys.key_user,
    "password": detect_users.password,
    "password_grant": detect_users.password_grant,
    "password_of_grant": detect_users.password_of_grant,
    "policy": detect_keys.policy,
    "rest_role": detect_rights.rest_role,
    "role": detect_rights.role,
    "rule": detect_rights.rule,
    "token": detect_users.token,
    "user": detect_users.user,
    "verifier_map": detect_users.verifier_map,
    "web_services": detect_rights.web_services,
}
NONE = Cause(
    what="None of what usually is the reason: each was looked for in the instance's records, and is not so.",
    do="Look at System Logs > All, at the time of this run.",
)


def detected(finding: Finding, inquiry_of: Callable[[Lead], Inquiry]) -> Finding:
    """The same, with what the records show first, and without what they show not to be so."""
    found: list[Cause] = []
    left: list[Cause] = []
    unsure: list[Cause] = []  # those that are left, when something else may be so as well
    open_ones: list[tuple[Cause, bool]] = []  # with whether its table is not there at all
    plain = [cause for cause in finding.causes if cause.lead is None]
    for cause in finding.causes:
        if cause.lead is None:
            continue
        try:
            verdict = DETECTORS[cause.lead.by](inquiry_of(cause.lead))
        except Unreadable as error:
            open_ones.append((_unsure(cause, error.why), error.absent))
            continue
        found += [replace(one, certainty=Certainty.DETECTED) for one in verdict.evidence]
        if verdict.left is not None:
            left.append(verdict.left)
            unsure.append(_unsure(cause, verdict.why))
        elif verdict.why:
            open_ones.append((_unsure(cause, verdict.why), False))
    kept = [cause for cause, absent in open_ones if not (found and absent)]
    if not found and not plain and not kept and len(left) == 1:  # by elimination
        unsure = [_told(left[0], "all else that is known was ruled out", Certainty.LEFT)]
    causes = list(dict.fromkeys([*found, *plain, *unsure, *kept]))
    return replace(finding, causes=tuple(causes) or ((NONE,) if finding.causes else ()))


def _unsure(cause: Cause, why: str) -> Cause:
    return _told(cause, why, Certainty.NOT_DETECTED)


def _told(cause: Cause, why: str, certainty: Certainty) -> Cause:
    return replace(cause, what=f"{cause.what.rstrip('.')} ({why}).", certainty=certainty)
