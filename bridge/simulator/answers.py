"""What the REST API answers: the envelope, and every refusal with its exact text."""

from __future__ import annotations

from dataclasses import dataclass, field

from bridge.alert import Json

SIR_CLOSE_LABELS = {"close_code": "Close code", "close_notes": "Close notes"}  # [UNVERIFIED] labels of sn_si_incident
INCIDENT_CLOSE_LABELS = {"close_code": "Resolution code", "close_notes": "Close notes"}  # [OBSERVED]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    body: Json = None  # None: no body at all
    content: bytes | None = None  # instead of a JSON body, of `content_type`
    content_type: str = "application/json;charset=UTF-8"
    headers: dict[str, str] = field(default_factory=dict)


class Refused(Exception):
    """The request is answered with an error body."""

    def __init__(self, status: int, message: str, detail: str | None, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"{status} {message}: {detail}")
        self.status = status
        self.message = message
        self.detail = detail
        self.headers = headers or {}

    def answer(self) -> Answer:
        """The envelope of every REST error [OFFICIAL c_CustomWebServices.md]; `detail` may be null."""
        error: dict[str, Json] = {"message": self.message, "detail": self.detail}
        return Answer(status=self.status, body={"error": error, "status": "failure"}, headers=self.headers)


def not_authenticated() -> Refused:
    """[OFFICIAL add-OIDC-entity.md]; the header is [UNVERIFIED]."""
    challenge = {"WWW-Authenticate": 'BASIC realm="Service-now"'}
    return Refused(401, "User Not Authenticated", "Required to provide Auth information", challenge)


def second_factor_missing() -> Refused:
    """The password is right, the second factor missing [OFFICIAL c_RESTAPI.md: the header]."""
    refusal = not_authenticated()
    return Refused(401, refusal.message, refusal.detail, {**refusal.headers, "X-MFA_TOKEN": "invalid"})


def closed_to_web_services() -> Refused:
    """[OBSERVED] the message, for a table whose ws_access is off, whoever asks; the detail is [UNVERIFIED]."""
    return Refused(403, "User Not Authorized", "Failed API level ACL Validation")


def no_record() -> Refused:
    """[OBSERVED] on sn_si_incident and many others; a row hidden by an ACL looks the same."""
    return Refused(404, "No Record found", "Record doesn't exist or ACL restricts the record retrieval")


def invalid_table(table: str) -> Refused:
    """[OBSERVED] for every user alike, once authenticated: also the answer when the plugin is not installed."""
    return Refused(400, f"Invalid table {table}", None)


def no_such_resource(status: int = 400) -> Refused:
    """[OBSERVED]; its status is 400 in some records and 404 in others, the documentation's table says 400."""
    return Refused(status, "Requested URI does not represent any resource", None)


def data_policy(labels: list[str]) -> Refused:
    """[OBSERVED] full body."""
    fields = ", ".join(labels)
    detail = f"Data Policy Exception: \n\tThe following fields are mandatory: {fields}"
    return Refused(403, "Operation Failed", detail)


def acl_failed(method: str) -> Refused:
    """Insert [OBSERVED], Update [ALIKE], Delete [UNVERIFIED]."""
    verb = {"POST": "Insert", "DELETE": "Delete"}.get(method, "Update")
    return Refused(403, "Operation Failed", f"ACL Exception {verb} Failed due to security constraints")


def business_rule(table: str, name: str) -> Refused:
    """[OBSERVED] full text."""
    rule = f"{name}^{'0a' * 16}"
    detail = f"Operation against file '{table}' was aborted by Business Rule '{rule}'. Business Rule Stack:{name}"
    return Refused(403, "Operation Failed", detail)


def not_unique(value: str, column: str) -> Refused:
    """[OFFICIAL] words of the database's refusal; that REST says them so, with 403, is [UNVERIFIED]."""
    detail = f"Unique Key violation detected by database (Duplicate entry '{value}' for key '{column}')"
    return Refused(403, "Operation Failed", detail)


def unreadable_field() -> Refused:
    """[OBSERVED], also for a query that names a field which does not exist."""
    detail = "Field(s) present in the query do not have permission to be read"
    return Refused(403, "Insufficient rights to query records", detail)


def unreadable_table(table: str) -> Refused:
    """[OBSERVED KB0744425] for the Aggregate API."""
    return Refused(403, "Insufficient rights to query records", f"No permission to read table '{table}'")


def insufficient_rights() -> Refused:
    """[CLIENT rapid7] for sys_journal_field."""
    return Refused(403, "Insufficient rights", "Insufficient rights to query records")


def not_authorized() -> Refused:
    """A scripted REST service whose ACL the user does not meet [UNVERIFIED]."""
    return Refused(403, "User Not Authorized", "Failed API level ACL Validation")


def rate_limited(
    retry_after: int,
    reset: int,
    *,
    limit: int = 100,
    rule: str = "5d1f0c7e5b2013009b0d3a1be5f91a42",
    api: str = "Table API",
) -> Refused:
    """[OFFICIAL inbound-REST-API-rate-limiting.md]."""
    headers = {
        "Retry-After": str(retry_after),
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Reset": str(reset),
        "X-RateLimit-Rule": rule,
    }
    detail = f"Rate limit of {limit} requests per hour for {api} exceeded"
    return Refused(429, "Rate limit exceeded", detail, headers)


def too_large(length: int, limit: int, status: int = 413) -> Refused:
    """[OBSERVED] text (KB0747638); its HTTP code is [UNVERIFIED]."""
    detail = f"Rejected large REST payload with content-length = {length} bytes. Max allowed: {limit} bytes."
    return Refused(status, "Exception while reading request", detail)


def unreadable_body() -> Refused:
    """400 is [OFFICIAL]; the text is [UNVERIFIED]."""
    return Refused(400, "Exception while reading request", "The payload is not valid JSON.")


def missing_headers(names: list[str]) -> Refused:
    """Writes need Accept and Content-Type, else 400 [OFFICIAL c_TableAPI.md]; the text is [UNVERIFIED]."""
    return Refused(400, "Bad request", f"Missing header: {', '.join(names)}")


def not_acceptable(accept: str) -> Refused:
    """406 is [OFFICIAL]; the text is [UNVERIFIED]. This simulator speaks JSON only."""
    return Refused(406, "Not acceptable", f"Cannot produce {accept}")


def unsupported_media(content_type: str) -> Refused:
    """415 is [OFFICIAL]; the text is [UNVERIFIED]."""
    return Refused(415, "Unsupported media type", f"Cannot read {content_type}")


def method_not_allowed(method: str) -> Refused:
    """405 is [OFFICIAL]; the text is [UNVERIFIED]."""
    return Refused(405, "Method not supported", f"{method} is not supported here")


def cancelled() -> Refused:
    """[OBSERVED]: what ran until then may stay applied."""
    message = "Transaction cancelled: maximum execution time exceeded"
    hint = "Check logs for error trace or enable glide.rest.debug property to verify REST request processing"
    return Refused(500, message, f"{message} {hint}")
