"""Detectors: the user, its password, and the OAuth application that stands for it.

`sys_user` and `sys_properties` are read as public code reads them, `oauth_entity`, `oauth_jwt` and `jwt_verifier_map`
as public code makes them; that `sys_certificate` has its text in `pem_certificate` is not confirmed. ServiceNow's
documentation names the forms alone. Secrets are compared with nothing.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate

from bridge.doctor.finding import Cause
from bridge.doctor.inquiry import NOT_SO, Inquiry, Verdict, listed, so, wrong_with
from bridge.doctor.records import Row, Unreadable

RESTRICTED = "glide.authenticate.basic_auth.restriction.enforce"
BASIC_ROLE = "snc_basic_auth_api_access"
CLIENT_GRANT = "glide.oauth.inbound.client.credential.grant_type.enabled"
SKEW_SECONDS = 300.0  # [OFFICIAL] of an application, until somebody sets another
REGISTRY = "System OAuth > Application Registry"
USERS = "User Administration > Users"
APPLICATION = "name client_id active user user.user_name"


def password(inquiry: Inquiry) -> Verdict:
    name = inquiry.named("username")
    if inquiry.user_row(name) is None:
        return _no_user(name)
    return Verdict(
        left=Cause(
            what=f"The password of {name} is wrong.",
            do="Set its password anew, and write it where `auth.password` refers to.",
        ),
        why=_uncompared(name),
    )


def _uncompared(name: str) -> str:
    return f"there is a user {name}, and its password is compared with nothing"


def user(inquiry: Inquiry) -> Verdict:
    name = inquiry.named("username")
    row = inquiry.user_row(name)
    return _state(name, row) if row is not None else NOT_SO  # that it is gone `password` says


def _no_user(name: str) -> Verdict:
    return so(
        f"There is no user {name}: it was deleted, or its User ID is another.",
        f"Make it, or correct `auth.username`: {USERS}.",
    )


def _state(name: str, row: Row) -> Verdict:
    if told := wrong_with(row):
        return so(
            f"The user {name} {told}.", f"Correct its record: {USERS}, Active on; Locked out, Password needs reset off."
        )
    return NOT_SO


def basic_restriction(inquiry: Inquiry) -> Verdict:
    name = inquiry.named("username")
    if inquiry.setting(RESTRICTED) != "true":
        return NOT_SO
    rows = inquiry.records.rows("sys_user", "user_name web_service_access_only", where=("user_name", name))
    if not rows or rows[0]["web_service_access_only"] == "true" or BASIC_ROLE in inquiry.roles_of(name):
        return NOT_SO
    return so(
        f"The instance restricts Basic ({RESTRICTED} is true), and {name} is neither Web service access only, nor has "
        f"it `{BASIC_ROLE}`.",
        f"Tick Web service access only on its record, or give it `{BASIC_ROLE}`.",
    )


# --- OAuth


def _application(inquiry: Inquiry) -> Row | None:
    rows = inquiry.records.rows("oauth_entity", APPLICATION, where=("client_id", inquiry.named("client_id")))
    return rows[0] if rows else None


def client(inquiry: Inquiry) -> Verdict:
    ident = inquiry.named("client_id")
    row = _application(inquiry)
    if row is None:
        return so(
            f"No OAuth application has the client ID {ident}.", f"Copy it from the application's record: {REGISTRY}."
        )
    if row["active"] != "true":
        return so(f"The OAuth application '{row['name']}' is inactive.", f"Switch it on: {REGISTRY}, Active.")
    return Verdict(
        left=Cause(
            what=f"The client secret is not that of the OAuth application '{row['name']}', which is active.",
            do=f"Copy Client Secret from its record anew: {REGISTRY}.",
        ),
        why=f"'{row['name']}' has the ID and is active; its secret is compared with nothing",
    )


def client_grant(inquiry: Inquiry) -> Verdict:
    value = inquiry.setting(CLIENT_GRANT)
    if value == "true":
        return NOT_SO
    told = "is not set" if value is None else f"is {value or 'empty'}"
    return so(f"The grant is switched off: {CLIENT_GRANT} {told}.", "Set it to true: sys_properties.list.")


def client_user(inquiry: Inquiry) -> Verdict:
    row = _application(inquiry)
    if row is None:
        return NOT_SO
    if not row["user"]:
        return so(
            f"The OAuth application '{row['name']}' names no user.",
            "Set OAuth Application User on it; it may have to be added to the form.",
        )
    name = row["user.user_name"]
    found = inquiry.user_row(name) if name else None
    if found is None:
        return so(f"The user of the OAuth application '{row['name']}' was deleted.", "Set OAuth Application User anew.")
    return _state(name, found | {"password_needs_reset": "false"})


def token(inquiry: Inquiry) -> Verdict:
    """A token was given, and is not taken."""
    scheme = inquiry.seen.scheme
    by_scheme = {
        "oauth_client_credentials": client_user,
        "oauth_jwt_bearer": assertion_user,
        "oauth_password": _user_of_grant,
    }
    found = by_scheme[scheme](inquiry)
    if found.evidence:
        return found
    return Verdict(
        left=Cause(
            what="The token's user is well: a REST API access policy keeps its tokens from the Table API.",
            do="Add an OAuth profile to that policy: System Web Services > REST API Access Policies.",
        ),
        why="its user is well",
    )


def _user_of_grant(inquiry: Inquiry) -> Verdict:
    name = inquiry.named("username")
    row = inquiry.user_row(name)
    return _state(name, row) if row is not None else _no_user(name)


def password_of_grant(inquiry: Inquiry) -> Verdict:
    found = _user_of_grant(inquiry)
    if found.evidence:
        return found
    name = inquiry.named("username")
    return Verdict(
        left=Cause(
            what=f"The password of {name} is wrong.",
            do="Set its password anew, and write it where `auth.password` refers to.",
        ),
        why=_uncompared(name),
    )


def password_grant(_inquiry: Inquiry) -> Verdict:
    return Verdict(why="no record that is known tells which grants an application takes, or of whom a factor is asked")


def verifier_map(inquiry: Inquiry) -> Verdict:
    row, kid = _application(inquiry), inquiry.named("key_id")
    if row is None:
        return NOT_SO  # `client` says so
    fields = "kid oauth_jwt sys_certificate.pem_certificate"
    maps = inquiry.records.rows("jwt_verifier_map", fields, where=("oauth_jwt", row["sys_id"]))
    found = [one for one in maps if one["kid"] == kid]
    if not found:
        return so(
            f"The OAuth application '{row['name']}' has no JWT verifier map of the Kid {kid} "
            f"(it has: {listed(one['kid'] for one in maps)}).",
            "Make one with the certificate of `private_key`, or correct `key_id`.",
        )
    pem = found[0]["sys_certificate.pem_certificate"]
    try:
        same = _public(pem) == _public_of_ours(inquiry)
    except (ValueError, KeyError, OSError) as error:
        raise Unreadable(f"the certificate of {kid} cannot be compared with private_key") from error
    if same:
        return NOT_SO
    return so(
        f"The JWT verifier map {kid} has the certificate of another key than `private_key`.",
        "Make the certificate of `private_key`, and set it there.",
    )


def _public(pem: str) -> bytes:
    """Raises ValueError."""
    key = (
        load_pem_x509_certificate(pem.encode()).public_key()
        if "BEGIN CERTIFICATE" in pem
        else load_pem_public_key(pem.encode())
    )
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _public_of_ours(inquiry: Inquiry) -> bytes:
    from bridge.assertion_key import load

    auth = inquiry.auth
    if auth.private_key is None:
        raise ValueError("there is no private key")
    key, _algorithm = load(
        auth.private_key.read(), auth.private_key_password.read() if auth.private_key_password else None
    )
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def assertion_user(inquiry: Inquiry) -> Verdict:
    row, subject = _application(inquiry), inquiry.named("user")
    if row is None:
        return NOT_SO
    rows = inquiry.records.rows("oauth_jwt", "client_id user_field", where=("client_id", row["client_id"]))
    field = rows[0]["user_field"] if rows else ""
    if not field:
        raise Unreadable("oauth_jwt does not show the application's user_field")
    users = inquiry.records.rows("sys_user", f"user_name active locked_out {field}", where=(field, subject))
    if not users:
        return so(
            f"No user has {field} {subject!r}, at which the OAuth application '{row['name']}' looks.",
            "Correct `auth.user`, or that field of the integration user.",
        )
    return _state(users[0]["user_name"], users[0] | {"password_needs_reset": "false"})


def assertion_clock(inquiry: Inquiry) -> Verdict:
    if inquiry.ahead is None:
        return Verdict(why="no answer carried a Date")
    if abs(inquiry.ahead) <= SKEW_SECONDS:
        return NOT_SO
    way = "ahead of" if inquiry.ahead > 0 else "behind"
    return so(
        f"This machine's clock is {abs(inquiry.ahead):.0f} s {way} the instance's.",
        "Set it: `timedatectl` says whether it is synchronised.",
    )
