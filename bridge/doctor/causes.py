"""From what was seen to its probable causes. A row is only told where what was seen fits it. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec

from bridge.doctor.finding import Cause
from bridge.servicenow.outcome import Raw

SERVICENOW_HOST = ".service-now.com"
LOGIN = re.compile(rb"<input[^>]{0,200}type=[\"']?password|saml|single sign|log ?in|sign ?in", re.IGNORECASE)
RESULT = re.compile(rb"^\s*\{\s*\"res")  # how an answer of the Table API begins, however short it was cut
OBSERVABLES = "`sn_ti.observable.write`, which `sn_si.basic` has"
ROLES = {
    "incident": "`sn_incident_write` (or `itil`, where the ITSM Roles plugin is not active)",
    "sn_si_incident": "`sn_si.basic`",
    "sn_ti_observable": OBSERVABLES,
    "sn_ti_observable_type": OBSERVABLES,
    "sn_ti_m2m_task_observable": OBSERVABLES,
}
PLUGINS = {
    "sn_si_incident": "Security Incident Response",
    "sn_si_incident_import": "Security Incident Response",
    "sn_ti_observable": "Threat Intelligence",
    "sn_ti_observable_type": "Threat Intelligence",
    "sn_ti_m2m_task_observable": "Threat Intelligence",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a step met that is not as it should be."""

    code: str  # of the error
    host: str  # of the instance
    scheme: str  # of its `auth`
    table: str = ""
    message: str = ""
    raw: Raw | None = None  # the last answer, where one came

    @property
    def role(self) -> str:
        return ROLES.get(self.table, "the role that may")

    @property
    def plugin(self) -> str:
        return PLUGINS.get(self.table, "")

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
        except (msgspec.DecodeError, RecursionError):
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


def _row(codes: str, fits: Fits, what: str, do: str) -> Row:
    return Row(frozenset(codes.split()), fits, what, do)


def _always(_seen: Seen) -> bool:
    return True


def _is(scheme: str) -> Fits:
    return lambda seen: seen.scheme == scheme and seen.from_servicenow and not _second_factor(seen)


def _second_factor(seen: Seen) -> bool:
    return bool(seen.header("X-MFA_TOKEN"))


def _company_site(seen: Seen) -> bool:
    return seen.host.endswith((".servicenow.com", "//servicenow.com"))


PAGES = "hibernating redirected html_answer"

# In each group the most probable comes first.
CAUSES: tuple[Row, ...] = (
    # --- the name
    _row(
        "dns_failed",
        _company_site,
        "{host} is not an instance: servicenow.com is the company's own site.",
        "Write the host as a browser shows it when you work in the instance: https://NAME.service-now.com.",
    ),
    _row(
        "dns_failed",
        lambda seen: seen.host.endswith(SERVICENOW_HOST),
        "There is no instance of this name: it is mistyped, or was renamed or retired.",
        "Compare `url` with the address that a browser shows in the instance.",
    ),
    _row(
        "dns_failed",
        _always,
        "This machine's DNS does not know {host}.",
        "Try `getent hosts {host}` here. Where only a proxy knows outside names, set the instance's transport.proxy.",
    ),
    # --- the connection
    _row(
        "connect_refused",
        _always,
        "Nothing listens at this host and port.",
        "Correct `url`: an instance listens on 443, and its url names no port.",
    ),
    _row(
        "connect_failed connect_timed_out connect_refused",
        _always,
        "A firewall between here and {host} does not let this machine through.",
        "Ask for outgoing TCP to {host}; where a proxy is the only way out, set the instance's transport.proxy.",
    ),
    _row(
        "proxy_failed",
        _always,
        "The proxy is not there, or does not let this machine through to {host}.",
        "Correct transport.proxy, and ask its owner to allow {host}.",
    ),
    _row(
        "tls_issuer_unknown",
        _always,
        "Something between here and the instance shows a certificate of a private authority: {message}",
        "If your own network inspects TLS, or the authority is yours, name its certificate in the instance's "
        "transport.ca. If not, somebody is in between: do not go on.",
    ),
    _row(
        "tls_other_name",
        _always,
        "The certificate is for another name: {message}",
        "Correct `url`, or see where the name leads from this machine: `getent hosts {host}`.",
    ),
    _row("tls_expired", _always, "The certificate has expired, or this machine's clock is wrong.", "Look at `date`."),
    _row(
        "tls_not_spoken",
        _always,
        "What listens there does not speak TLS.",
        "Correct the port in `url`: an instance listens on 443, and its url names no port.",
    ),
    _row(
        "tls_failed",
        _always,
        "The two sides agree on no way to speak TLS, or a client certificate is asked for.",
        "Where the instance asks for one, set the instance's transport.client_cert and client_key.",
    ),
    # --- a page instead of an answer
    _row(
        "hibernating",
        _always,
        "The developer instance sleeps.",
        "Sign in at developer.servicenow.com and wake it; after ten days without use it is taken away.",
    ),
    _row(
        PAGES,
        lambda seen: seen.location == "developer.servicenow.com",
        "The developer instance sleeps, or was taken away.",
        "Sign in at developer.servicenow.com and wake it, or ask for a new one.",
    ),
    _row(
        "redirected",
        lambda seen: seen.location.endswith(SERVICENOW_HOST),
        "The instance has another name now: {location}.",
        "Write `url: https://{location}`.",
    ),
    _row(
        "redirected",
        lambda seen: bool(seen.location) and not seen.location.endswith(".servicenow.com"),
        "A proxy or a sign-on gateway asks for a log-in first, at {location}.",
        "Let this machine reach {host} without it, or set the instance's transport.proxy.",
    ),
    _row(
        "redirected",
        lambda seen: not seen.location,
        "The instance sends the call to its own log-in page.",
        "See that `url` is the instance itself and not a portal, and that single sign-on leaves /api alone.",
    ),
    _row(
        "html_answer",
        lambda seen: seen.shows(LOGIN),
        "A log-in page came: a proxy or a sign-on gateway stands before the instance.",
        "Let this machine reach {host} without it, or set the instance's transport.proxy.",
    ),
    _row(
        "unreadable_answer",
        lambda seen: seen.shows(RESULT),
        "The instance's answer is empty or breaks off: it is overloaded, or what stands between changes answers.",
        "Try again in some minutes; then let this machine reach {host} without a proxy that rewrites.",
    ),
    _row(
        "html_answer wrong_url unreadable_answer",
        lambda seen: not seen.shows(LOGIN) and not seen.shows(RESULT),
        "{host} is not an instance: it has no Table API.",
        "Write the host as a browser shows it when you work in the instance: https://NAME.service-now.com.",
    ),
    # --- who we are
    _row(
        "unauthenticated",
        _second_factor,
        "The user's password is right, and a second factor is asked of it.",
        "Exempt the integration user from multi-factor authentication, or use an API key or OAuth.",
    ),
    _row(
        "unauthenticated refused",
        lambda seen: bool(seen.header("Proxy-Authenticate")),
        "The proxy asks for credentials.",
        "Put the proxy's whole URL, with its credentials, into a secret: transport.proxy: {{file: PATH}}.",
    ),
    _row(
        "unauthenticated",
        lambda seen: not seen.from_servicenow and not seen.header("Proxy-Authenticate"),
        "The refusal is not ServiceNow's: a gateway before it asks for credentials of its own.",
        "Let this machine reach {host} without it.",
    ),
    _row(
        "unauthenticated",
        _is("basic"),
        "The user name or the password is wrong.",
        "Set the password of the integration user anew, and write it where `auth.password` refers to.",
    ),
    _row(
        "unauthenticated",
        _is("basic"),
        "The user is inactive, locked out, or has to change its password.",
        "Look at the user's record: Active on; Locked out and Password needs reset off.",
    ),
    _row(
        "unauthenticated",
        _is("basic"),
        "The instance restricts Basic authentication, and this user is not let through.",
        "Give it `snc_basic_auth_api_access`, or tick Web service access only on its record; a REST API access policy "
        "may refuse passwords too.",
    ),
    _row(
        "unauthenticated",
        _is("api_key"),
        "The API key was revoked, has expired, or is not the whole key.",
        "Look under System Web Services > API Access Policies > REST API Key: active, not expired; make a new one.",
    ),
    _row(
        "unauthenticated",
        _is("api_key"),
        "No REST API access policy takes API keys for the Table API.",
        "Make an inbound authentication profile for the header x-sn-apikey, and name it in the policy of that API.",
    ),
    _row(
        "unauthenticated",
        _is("api_key"),
        "The user that the key stands for is inactive.",
        "Look at the user that the REST API Key names: Active on; Locked out off.",
    ),
    _row(
        "unauthenticated",
        lambda seen: seen.scheme.startswith("oauth") and seen.from_servicenow,
        "A token was given, and is not taken: its user is inactive, or a policy keeps tokens from the Table API.",
        "Look at the user of the OAuth application, and under System Web Services > API Access Policies.",
    ),
    _row(
        "token_refused invalid_client invalid_grant unauthorized_client key_unusable",
        _always,
        "The OAuth application does not give a token to these credentials.",
        "Look at System OAuth > Application Registry; the sentence above has the order in which to look.",
    ),
    # --- what we may do
    _row(
        "invalid_table",
        lambda seen: bool(seen.plugin),
        "{plugin} is not installed.",
        "Install it from the ServiceNow Store, or take the targets of security incidents out.",
    ),
    _row(
        "invalid_table",
        lambda seen: not seen.plugin,
        "The table {table} is not there: its app is not installed, or the name is mistyped.",
        "Correct the name, or install the app that brings the table.",
    ),
    _row(
        "app_not_installed",
        _always,
        "The app is not there, or the user lacks its role.",
        "Install Elastic's app from the ServiceNow Store, and give the user its role `integration_user` and "
        "`import_set_loader`; or say `write: table`.",
    ),
    _row(
        "import_error import_left id_not_carried state_not_carried not_coalesced several_records",
        _always,
        "The staging table's transform map does something else with the row than the bridge needs.",
        "Let whoever owns the map do what the sentence above says, and try the probe again.",
    ),
    _row(
        "acl query_rights rows_hidden columns_hidden",
        lambda seen: seen.table in ROLES,
        "The integration user lacks a role.",
        "Give it {role}.",
    ),
    _row(
        "acl query_rights rows_hidden columns_hidden lookup_unusable",
        _always,
        "An access control rule of the instance is narrower than its role.",
        "Let an administrator debug security rules as the integration user on {table}: every field that the sentence "
        "above names must be readable.",
    ),
    _row(
        "record_gone",
        _always,
        "The record was written, and the user may not read it again.",
        "Give it {role}: what the bridge writes it must be able to read.",
    ),
    _row(
        "forbidden",
        lambda seen: seen.from_servicenow,
        "The user may not use the Table API: where its access control is active, that takes a role.",
        "Give it `snc_platform_rest_api_access`.",
    ),
    _row(
        "forbidden",
        lambda seen: not seen.from_servicenow,
        "The refusal is not the API's: a gateway, or the instance's list of addresses, keeps this machine out.",
        "Look at System Security > IP Address Access Control, and let this machine's address in.",
    ),
    _row(
        "data_policy",
        _always,
        "A data policy makes fields mandatory: {message}",
        "Give these fields under the target's `defaults`, or make them optional for the integration user.",
    ),
    _row(
        "business_rule",
        _always,
        "A business rule refuses the write: {message}",
        "Ask its owner what it wants, and give that under the target's `defaults`.",
    ),
    # --- how much
    _row(
        "rate_limited",
        _always,
        "The hour's calls that a rate limit rule allows are used up.",
        "Raise the rule for the integration user, or lower limits.calls_per_hour of the instance.",
    ),
    _row(
        "server_error timed_out connection_lost answer_too_large",
        _always,
        "The instance is starting, being upgraded, or overloaded.",
        "Try again in some minutes; then look at status.servicenow.com and the instance's transaction log.",
    ),
    _row(
        "clock",
        _always,
        "This machine's clock is wrong.",
        "Set it: `timedatectl` says whether it is synchronised. Tokens and late writes are judged by it.",
    ),
)


def causes_of(seen: Seen) -> tuple[Cause, ...]:
    """In the order of the table. Empty when nothing more is known than the sentence itself says."""
    found = (row for row in CAUSES if seen.code in row.codes and row.fits(seen))
    return tuple(Cause(what=_filled(row.what, seen), do=_filled(row.do, seen)) for row in found)


def _filled(text: str, seen: Seen) -> str:
    return text.format(
        host=seen.host,
        location=seen.location,
        plugin=seen.plugin,
        role=seen.role,
        table=seen.table,
        message=seen.message,
    )
