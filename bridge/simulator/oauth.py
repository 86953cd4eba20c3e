"""POST /oauth_token.do: four grants, and refusals that tell as little as the real ones [OFFICIAL, OBSERVED]."""

from __future__ import annotations

import hmac
from datetime import datetime
from urllib.parse import parse_qsl

from bridge.alert import Json
from bridge.simulator.access import CLIENT, JWT, PASSWORD, REFRESH, OAuthClient, User, basic_pair
from bridge.simulator.answers import Answer
from bridge.simulator.jwt import BadAssertion, check_claims, verified_claims
from bridge.simulator.request import ApiRequest
from bridge.simulator.state import Simulator
from bridge.simulator.switches import Jti, OAuthErrors

Form = dict[str, str]

FORM = "application/x-www-form-urlencoded"


class NoToken(Exception):
    """The token is refused; `error` and `description` are told only where the switch says so."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(f"{error}: {description}")
        self.error = error
        self.description = description


def answer_token_request(simulator: Simulator, request: ApiRequest, *, now: datetime) -> Answer:
    """Tokens are asked for without any other credentials."""
    try:
        return Answer(status=200, body=_token(simulator, _form(request), now=now))
    except NoToken as refusal:
        simulator.note_violation("no_token", request.method, request.path, str(refusal))
        return _refused(simulator.switches.oauth_errors, refusal)


def _form(request: ApiRequest) -> Form:
    """A form and nothing else: JSON "results in an unspecified error" [OFFICIAL]."""
    if request.method != "POST":
        raise NoToken("invalid_request", f"{request.method} is not supported")
    if request.content_type.partition(";")[0].strip().lower() != FORM:
        raise NoToken("invalid_request", f"the body must be {FORM}")
    try:
        return _client_in_header(request) | dict(parse_qsl(request.body.decode(), keep_blank_values=True))
    except UnicodeDecodeError:
        raise NoToken("invalid_request", "the body is not UTF-8") from None


def _client_in_header(request: ApiRequest) -> Form:
    """The client may show itself by Basic credentials too [CLIENT PySNC's password grant]."""
    scheme, _, credentials = request.authorization.partition(" ")
    if scheme.lower() != "basic":
        return {}
    name, secret = basic_pair(credentials)
    return {"client_id": name, "client_secret": secret}


def _token(simulator: Simulator, form: Form, *, now: datetime) -> dict[str, Json]:
    name, grant = form.get("client_id", ""), form.get("grant_type", "")
    client = simulator.access.clients.get(name)
    if client is None or not client.active or not _knows_secret(client, grant, form):
        raise NoToken("invalid_client", "client_id or client_secret is wrong")
    if grant not in (PASSWORD, REFRESH, CLIENT, JWT):
        raise NoToken("unsupported_grant_type", grant)
    if (PASSWORD if grant == REFRESH else grant) not in client.grants:
        raise NoToken("unauthorized_client", f"{grant} is not enabled for this client")
    if grant == CLIENT and not simulator.access.client_credentials:
        raise NoToken("unauthorized_client", "client_credentials is switched off")
    user = _user(simulator, name, client, form, now=now)
    tokens = simulator.access.tokens
    access = tokens.access(name, user.name, client.access_seconds, now=now)
    body: dict[str, Json] = {
        "access_token": access.value,
        "scope": "useraccount",
        "token_type": "Bearer",
        "expires_in": access.seconds_left(now),
    }
    if grant == PASSWORD:  # a refresh "returns only an access token" [OFFICIAL]; JWT gives none [OFFICIAL]
        body["refresh_token"] = tokens.refresh(name, user.name, client.refresh_seconds, now=now).value
    return body


def _knows_secret(client: OAuthClient, grant: str, form: Form) -> bool:
    """A public client has no secret, and only a JWT does without one [OFFICIAL]."""
    if not client.secret:
        return grant == JWT and "client_secret" not in form
    return hmac.compare_digest(client.secret.encode(), form.get("client_secret", "").encode())


def _user(simulator: Simulator, name: str, client: OAuthClient, form: Form, *, now: datetime) -> User:
    access = simulator.access
    grant = form["grant_type"]
    if grant == PASSWORD:
        user = access.active_user(form.get("username", ""))
        given = form.get("password", "")
        if user is None or not user.is_password(given) or user.mfa or user.password_needs_reset:
            raise NoToken("access_denied", "the user or the password is wrong, or a second factor is missing")
        return user
    if grant == REFRESH:
        found = access.active_user(access.tokens.refreshed_user(name, form.get("refresh_token", ""), now=now))
    elif grant == CLIENT:
        found = access.active_user(client.user)
    else:
        found = _subject(simulator, name, client, form.get("assertion", ""), now=now)
    if found is None:
        raise NoToken("invalid_grant", "User not found")
    return found


def _subject(simulator: Simulator, name: str, client: OAuthClient, assertion: str, *, now: datetime) -> User | None:
    """The user whom a good assertion's `sub` names."""
    try:
        claims = verified_claims(assertion, client.keys)
        check_claims(claims, issuer=client.issuer or name, audience=name, now=now)
    except BadAssertion as error:
        raise NoToken("invalid_grant", str(error)) from error
    _check_jti(simulator, name, claims.get("jti"))
    wanted = claims["sub"]
    row = next((row for row in simulator.rows.rows("sys_user") if row.get(client.subject) == wanted), None)
    return None if row is None else simulator.access.active_user(row["user_name"])


def _check_jti(simulator: Simulator, client: str, jti: Json) -> None:
    switch = simulator.switches.jti
    if switch is Jti.OFF or (jti is None and switch is Jti.ONCE):
        return
    if not isinstance(jti, str) or not jti:
        raise NoToken("invalid_grant", "jti is missing")
    if (client, jti) in simulator.access.tokens.seen_jtis:
        raise NoToken("invalid_grant", f"jti {jti!r} was used before")
    simulator.access.tokens.seen_jtis.add((client, jti))


def _refused(switch: OAuthErrors, refusal: NoToken) -> Answer:
    """One answer for every cause [OBSERVED]; there is no "status" here, and `error` is a text."""
    body: dict[str, Json] = {"error_description": "access_denied", "error": "server_error"}
    if switch is OAuthErrors.SPECIFIC:
        body = {"error_description": refusal.description, "error": refusal.error}
    return Answer(status=401, body=body)
