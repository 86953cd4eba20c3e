"""What a row of the causes is: the codes it is about, what must be seen for it, and its two sentences. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec

from bridge.doctor.roles import is_ci
from bridge.servicenow.outcome import Raw

OBSERVABLES = "`sn_ti.observable.write`, which `sn_si.basic` has"
ROLES = {
    "incident": "`sn_incident_write` (or `itil`, where the ITSM Roles plugin is not active)",
    "sn_si_incident": "`sn_si.basic`",
    "sn_ti_observable": OBSERVABLES,
    "sn_ti_observable_type": OBSERVABLES,
    "sn_ti_m2m_task_observable": OBSERVABLES,
}
CMDB = "`cmdb_read` (or `itil`)"
# [OBSERVED] the fields that a data policy demands, by their labels; the name of a business rule.
NAMED = (re.compile(r"fields are mandatory: (.+)$"), re.compile(r"aborted by Business Rule '([^'^]+)"))
STAGING_ROLES = "`import_set_loader` and `import_transformer`"
THREAT_INTELLIGENCE = "Threat Intelligence"
PLUGINS = {
    "sn_si_incident": "Security Incident Response",
    "sn_si_incident_import": "Security Incident Response",
    "sn_ti_observable": THREAT_INTELLIGENCE,
    "sn_ti_observable_type": THREAT_INTELLIGENCE,
    "sn_ti_m2m_task_observable": THREAT_INTELLIGENCE,
}

ELASTIC = "/api/x_elas2_"
APIS = (
    ("/api/now/v2/table/", "the Table API"),
    ("/api/now/import/", "the Import Set API"),
    ("/api/now/v1/attachment", "the Attachment API"),
    (ELASTIC, "Elastic's app"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a step met that is not as it should be."""

    code: str  # of the error
    host: str  # of the instance
    scheme: str  # of its `auth`
    table: str = ""
    message: str = ""
    staging: bool = False  # `table` is a staging table: what may write to it is the import's
    raw: Raw | None = None  # the last answer, where one came
    padded: str = ""  # the secrets of its `auth`, by their keys, that begin or end with a blank
    taken: bool = False  # these credentials, by the Table API, in this visit

    @property
    def role(self) -> str:
        return self.usual_role or "the role that may"

    @property
    def usual_role(self) -> str:
        """ "" where none is known."""
        if self.staging:
            return STAGING_ROLES
        return ROLES.get(self.table, CMDB if is_ci(self.table) else "")

    @property
    def api(self) -> str:
        """The API that was asked, as REST API access policies name it."""
        path = self.raw.path if self.raw is not None else ""
        return next((name for begins, name in APIS if path.startswith(begins)), f"the API at {path}")

    @property
    def app(self) -> str:
        """The scope of Elastic's app, where it was asked; "" else."""
        path = self.raw.path if self.raw is not None else ""
        return path.removeprefix("/api/").partition("/")[0] if path.startswith(ELASTIC) else ""

    @property
    def plugin(self) -> str:
        return PLUGINS.get(self.table, "")

    @property
    def named(self) -> str:
        """What a policy demands, or the rule that refuses; where neither is found in it, what ServiceNow said."""
        found = next((match for pattern in NAMED if (match := pattern.search(self.message))), None)
        said = self.message.partition("It said: ")[2] or self.message
        return (found[1] if found is not None else said).rstrip(".")

    @property
    def location(self) -> str:
        """The host that a redirect leads to; "" when there is none, or it is the instance itself."""
        location = self.raw.headers.get("Location", "") if self.raw is not None else ""
        host = urlsplit(location).hostname or ""
        return "" if host == self.host.partition(":")[0] else host

    @property
    def from_servicenow(self) -> bool:
        """Whether the error is in ServiceNow's own words, and so not of something that stands before it."""
        try:
            document = msgspec.json.decode(self.raw.body or b"") if self.raw is not None else None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        return isinstance(document, dict) and "error" in document

    def header(self, name: str) -> str:
        return self.raw.headers.get(name, "") if self.raw is not None else ""

    def shows(self, pattern: re.Pattern[bytes]) -> bool:
        return self.raw is not None and pattern.search(self.raw.body or b"") is not None


Fits = Callable[[Seen], bool]


@dataclass(frozen=True, slots=True)
class Row:
    codes: frozenset[str]
    fits: Fits
    what: str  # `{host}` and the like are filled in from what was seen
    do: str
    by: str = ""  # the detector that finds it in the instance's records; "": what was seen is all there is


def row(codes: str, fits: Fits, what: str, do: str, by: str = "") -> Row:
    return Row(frozenset(codes.split()), fits, what, do, by)


def always(_seen: Seen) -> bool:
    return True
