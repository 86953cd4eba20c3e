"""What the fields of a sample alert are likely to mean: its identity, severity, time, status, observables. Pure.

Names decide, and values confirm: a severity is a word of a known scale or a number, a time can be read as one. Each
list of names below has the likeliest first. A name stands for the last key of a path, or for the last two together
("rule_id" is `.rule_id`, `.ruleId`, `.rule.id`); with "/" before it, for a key at the top of the alert.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bridge.alert import Json
from bridge.mapping.values import is_nothing, number_of, time_of

SCORE_MAX = 1_000  # a greater number is no severity
LEAVES_MAX = 5_000  # of a sample; what comes after is not looked at
DEPTH_MAX = 24  # keys on the way to a value
OBSERVABLES_PER_KIND_MAX = 5

Steps = tuple[str | int, ...]

LISTS = ("alerts", "findings", "detections", "issues", "incidents", "offenses", "records", "vulnerabilities")
LISTS_IF_NO_IDENTITY = ("events", "results", "items", "entries", "notifications", "messages", "value", "data")

IDENTITY = (
    "dedup_key dedupe_key deduplication_key incident_key incident_hash fingerprint origin_alert_id "
    "alert_correlation_id correlation_key alert_uuid alert_uid alert_id finding_info_uid finding_uid finding_id "
    "detection_id composite_id issue_id offense_id threat_id notable_id kibana_alert_uuid event_id "
    "finding_canonical_name finding_name alert_number /external_id /uuid /uid /guid /id /_id incident_id"
)
RULE = (
    "control_id rule_id rule_rule_id rule_uuid alert_rule_id detection_rule_id signature_id security_control_id "
    "check_id policy_id alert_policy_id generator_id detector_id model_id monitor_id event_definition_id "
    "analytic_uid alertname alert_rule alarm_name search_name rule_name control_name check_name detection_name "
    "policy_name alert_type event_code event_type /rule category finding_category"
)
PLACE = (
    "host_name hostname host_hostname agent_name computer_name device_name device_dns_name machine_name "
    "server_name target_hostname resource_id resource_arn resources_id resource_name resources_name asset_name "
    "asset_id instance_id labels_instance labels_pod entity_name repository_full_name resource_uid resources_uid "
    "host instance computer"
)
TITLE = (
    "title alert_title control_name alert_name alertname rule_name alert_rule alarm_name search_name "
    "event_definition_title detection_name threat_name check_title rule_description annotations_summary summary "
    "/name /rule subject policy_name event_name category output message description"
)
MESSAGE = (
    "description message annotations_description details alert_description rule_full_description rule_description "
    "control_description output annotations_summary summary desc finding_desc state_reason new_state_reason "
    "reason text _raw raw"
)
SEVERITY = (
    "severity_label severity alert_severity severity_name severity_level security_severity_level threat_severity "
    "alert_level threat_level risk_level criticality priority urgency level rule_level impact severity_id "
    "severity_score risk_score risk score magnitude severity_normalized threat_score"
)
TIME = (
    "updated_at updated last_updated last_update last_updated_time last_update_date_time last_update_time "
    "last_modified last_modified_time updated_time state_change_time event_time timestamp time starts_at "
    "fired_date_time detected_at detection_time occurred_at observed_at started_at opened_at triggered_at "
    "fired_at start_time start_date created_at created create_time created_time created_date_time creation_time "
    "event_creation_time first_seen date ts"
)
STATUS = (
    "workflow_status alert_state alert_status issue_status finding_state monitor_condition new_state_value "
    "state_value status state record_state resolution_status incident_status investigation_status"
)
PAGE = (
    "html_url alert_url alert_web_url alert_html_url web_url portal_link permalink dashboard_link results_link "
    "generator_url external_uri console_url source_url src_url link url"
)
USER = (
    "user_name username user_account_account_name user_account_name user_principal_name actor_user_name user "
    "user_id principal src_user"
)

# What is said of these is not said of the alert: the time of `.repository.updated_at` is another one.
OTHERS = frozenset(
    {"rule", "policy", "user", "account", "host", "agent", "repository", "organization", "sender", "owner", "control"}
    | {"asset", "evidence"}
)

# Each scale is the product's words, the most severe first, and ours.
SCALES: tuple[dict[str, str], ...] = (
    {"critical": "critical", "high": "high", "medium": "medium", "moderate": "medium", "low": "low",
     "informational": "info", "info": "info", "none": "info"},
    {"emergency": "critical", "alert": "critical", "critical": "critical", "error": "high", "err": "high",
     "warning": "medium", "warn": "medium", "notice": "low", "informational": "info", "info": "info", "debug": "info"},
    {"fatal": "critical", "severe": "critical", "major": "high", "minor": "low"},
    {"p1": "critical", "p2": "high", "p3": "medium", "p4": "low", "p5": "info"},
    {"sev0": "critical", "sev1": "high", "sev2": "medium", "sev3": "low", "sev4": "info"},
)  # fmt: skip
RANKED_ONE_FIRST = ("priority", "urgency", "impact")  # in numbers
WORST_FIRST = {"1": "critical", "2": "high", "3": "medium", "4": "low", "5": "info"}
OCSF = {"1": "info", "2": "low", "3": "medium", "4": "high", "5": "critical", "6": "critical"}  # severity_id

# What the status says while it lasts, and what it then says when it is over.
OPEN: dict[str, tuple[str, ...]] = {
    "firing": ("resolved",),
    "alerting": ("ok",),
    "alarm": ("ok",),
    "fired": ("resolved",),
    "activated": ("deactivated", "resolved"),
    "triggered": ("resolved", "recovered"),
    "active": ("inactive", "archived", "resolved", "closed"),
    "open": ("closed", "resolved", "fixed", "dismissed"),
    "opened": ("closed", "resolved"),
    "created": ("closed", "resolved", "fixed"),
    "reopened": ("closed", "resolved"),
    "new": ("resolved", "closed"),
    "in_progress": ("resolved", "closed"),
    "in progress": ("resolved", "closed"),
    "acknowledged": ("resolved", "closed"),
    "problem": ("ok", "recovery"),
    "failed": ("passed",),
}
CLOSED = frozenset(word for words in OPEN.values() for word in words)

_SHAPES: dict[str, re.Pattern[str]] = {
    "sha256": re.compile(r"[0-9a-fA-F]{64}"),
    "sha1": re.compile(r"[0-9a-fA-F]{40}"),
    "md5": re.compile(r"[0-9a-fA-F]{32}"),
    "cve": re.compile(r"CVE-\d{4}-\d{4,}"),
    "email": re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)+"),
    "aws_arn": re.compile(r"arn:aws[\w-]*:\S+"),
}
_HASHES = ("sha256", "sha1", "md5")
_HASH_NAMES = re.compile(r"sha_?256|sha_?1|md_?5|hash|checksum|digest")


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A plain value of the sample that is something, and the way to it."""

    steps: Steps
    value: Json
    words: tuple[str, ...]  # of the keys on the way: `.ruleInfo."x.id"` is rule_info, x, id

    @property
    def names(self) -> tuple[str, ...]:
        """By which the lists know it, the longest first."""
        if len(self.words) > 1:
            return "_".join(self.words[-2:]), self.words[-1]
        return (f"/{self.words[0]}", self.words[0]) if self.words else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Likely:
    """What is likely to be what. None: nothing in the sample looks like it."""

    identity: Leaf | None
    rule: Leaf | None
    place: Leaf | None
    title: Leaf | None
    message: Leaf | None
    severity: Leaf | None
    time: Leaf | None
    status: Leaf | None
    page: Leaf | None
    user: Leaf | None
    observables: dict[str, list[tuple[str | int | None, ...]]]  # kind -> paths; None is every element


def likely(alert: Json) -> Likely:
    """What the fields of one alert are likely to mean."""
    leaves = list(_leaves(alert, (), 0))
    identity = _best(leaves, IDENTITY, _is_name)
    severity = _best(leaves, SEVERITY, is_severity_word) or _best(leaves, SEVERITY, _is_number)
    alerts = identity or severity or Leaf(steps=(), value=None, words=())
    return Likely(
        identity=identity,
        rule=_best(leaves, RULE, _is_name),
        place=_best(leaves, PLACE, _is_name),
        title=_best(leaves, TITLE, _is_sentence),
        message=_best(leaves, MESSAGE, _is_sentence, alerts),
        severity=severity,
        time=_best(leaves, TIME, _is_time, alerts),
        status=_best(leaves, STATUS, is_status, alerts),
        page=_best(leaves, PAGE, _is_address, alerts),
        user=_best(leaves, USER, _is_name),
        observables=_observables(leaves),
    )


def likely_each(document: Json) -> tuple[Steps, list[Json]] | None:
    """Where the alerts of a delivery are, when it holds a list of them, and the list.

    A list inside an alert, of what was found, is none: then identity and severity stand outside it.
    """
    if isinstance(document, list):
        return (), document
    for steps, value in _lists(document):
        name, around = _word(str(steps[-1])), likely(_without(document, steps[0]))
        if name in LISTS and not (around.identity and around.severity):
            return steps, value
        if name in LISTS_IF_NO_IDENTITY and not around.identity:
            return steps, value
    return None


def _lists(document: Json) -> Iterator[tuple[Steps, list[Json]]]:
    """The lists of objects at the top of a document, and one level below."""
    tops = list(document.items()) if isinstance(document, dict) else []
    below = [((key, inner), value) for key, top in tops if isinstance(top, dict) for inner, value in top.items()]
    for steps, value in [*(((key,), value) for key, value in tops), *below]:
        readable = all(_can_be_written(str(step)) for step in steps)
        if readable and isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            yield steps, value


def _without(document: dict[str, Json], key: str | int) -> Json:
    return {other: value for other, value in document.items() if other != key}


def _leaves(value: Json, steps: Steps, depth: int) -> Iterator[Leaf]:
    """In the order of the sample; of a list, all elements."""
    if depth > DEPTH_MAX:
        return
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if children is None:
        if not is_nothing(value):
            yield Leaf(steps=steps, value=value, words=_words(steps))
        return
    for key, child in children:
        if isinstance(key, str) and not _can_be_written(key):
            continue
        yield from _leaves(child, (*steps, key), depth + 1)


def _can_be_written(key: str) -> bool:
    """Whether a path in a mapping can have the key in it."""
    return key.isprintable() and "{{" not in key


def _words(steps: Steps) -> tuple[str, ...]:
    return tuple(_word(part) for key in steps if isinstance(key, str) for part in key.split(".") if part)


_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def _word(key: str) -> str:
    """`ruleId`, `rule-id` and `Rule ID` are rule_id; a mark before a name goes: `@timestamp`, `_time`."""
    return re.sub(r"[^a-z0-9]+", "_", _HUMP.sub("_", key).lower()).strip("_")


def _best(leaves: list[Leaf], names: str, fits: Callable[[Leaf], bool], near: Leaf | None = None) -> Leaf | None:
    """The leaf of the likeliest name whose value fits. With `near`, what stands nearest to another leaf goes first."""
    place = {name: rank for rank, name in reversed(list(enumerate(names.split())))}
    found: list[tuple[tuple[int, int, int], Leaf]] = []
    for leaf in leaves[:LEAVES_MAX]:
        known = leaf.names[:1] if near and leaf.words[-2:-1] and leaf.words[-2] in OTHERS else leaf.names
        rank = min((place[name] for name in known if name in place), default=None)
        if rank is not None and fits(leaf):
            found.append(((_distance(leaf, near) if near else 0, rank, len(leaf.steps)), leaf))
    return min(found, key=lambda one: one[0])[1] if found else None


def _distance(leaf: Leaf, other: Leaf) -> int:
    """How many objects lie between two values: 0 in the same one."""
    mine, theirs = leaf.words[:-1], other.words[:-1]
    shared = next((at for at, pair in enumerate(zip(mine, theirs, strict=False)) if pair[0] != pair[1]), None)
    shared = min(len(mine), len(theirs)) if shared is None else shared
    return len(mine) + len(theirs) - 2 * shared


def _is_name(leaf: Leaf) -> bool:
    """Not a time, not a text that goes on and on."""
    if isinstance(leaf.value, bool):
        return False
    return not isinstance(leaf.value, str) or (len(leaf.value) <= 200 and "\n" not in leaf.value)


def _is_sentence(leaf: Leaf) -> bool:
    return isinstance(leaf.value, str) and not leaf.value.isdigit() and len(leaf.value) > 1


def is_severity_word(leaf: Leaf) -> bool:
    return isinstance(leaf.value, str) and any(leaf.value.lower() in scale for scale in SCALES)


def _is_number(leaf: Leaf) -> bool:
    number = None if isinstance(leaf.value, bool) else number_of(leaf.value)
    return number is not None and 0 <= number <= SCORE_MAX


def _is_time(leaf: Leaf) -> bool:
    return not isinstance(leaf.value, bool) and time_of(leaf.value) is not None


def is_status(leaf: Leaf) -> bool:
    return isinstance(leaf.value, str) and (leaf.value.lower() in OPEN or leaf.value.lower() in CLOSED)


def _is_address(leaf: Leaf) -> bool:
    return isinstance(leaf.value, str) and leaf.value.startswith(("https://", "http://"))


def _observables(leaves: list[Leaf]) -> dict[str, list[tuple[str | int | None, ...]]]:
    """The paths whose values look like something to search for, with every element of a list."""
    result: dict[str, list[tuple[str | int | None, ...]]] = {}
    for leaf in leaves[:LEAVES_MAX]:
        kind = _kind(leaf)
        path = tuple(None if isinstance(step, int) else step for step in leaf.steps)
        paths = result.setdefault(kind, []) if kind else []
        if kind and path not in paths and len(paths) < OBSERVABLES_PER_KIND_MAX:
            paths.append(path)
    return dict(sorted(result.items()))


def _kind(leaf: Leaf) -> str:
    if not isinstance(leaf.value, str):
        return ""
    kind = next((kind for kind, shape in _SHAPES.items() if shape.fullmatch(leaf.value)), "")
    if kind in _HASHES and not any(_HASH_NAMES.search(name) for name in leaf.names):
        return ""  # 32 digits may be any id
    return kind or ("ip" if _is_ip(leaf) else "")


def _is_ip(leaf: Leaf) -> bool:
    if any("version" in name for name in leaf.names):
        return False
    try:
        address = ipaddress.ip_address(leaf.value)
    except ValueError:
        return False
    return not address.is_unspecified and not address.is_loopback
