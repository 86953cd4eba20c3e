"""Why an instance does not take who we are, or what we do. In each group the most probable comes first."""

from __future__ import annotations

from bridge.doctor.cause_rows import THREAT_INTELLIGENCE, Fits, Row, Seen, always, row


def _is(scheme: str) -> Fits:
    return lambda seen: seen.scheme == scheme and _unknown(seen) and not _second_factor(seen)


def _unknown(seen: Seen) -> bool:
    """ServiceNow itself refuses, and has not taken the same credentials a moment ago."""
    return seen.from_servicenow and not seen.taken


def _by(scheme: str) -> Fits:
    return lambda seen: seen.scheme == scheme


def _second_factor(seen: Seen) -> bool:
    return bool(seen.header("X-MFA_TOKEN"))


RIGHTS: tuple[Row, ...] = (
    # --- who we are
    row(
        "unauthenticated token_refused invalid_client invalid_grant unauthorized_client",
        lambda seen: bool(seen.padded) and not seen.taken and not _second_factor(seen),
        "What {padded} refers to begins or ends with a blank or an empty line, which is sent with it.",
        "Write it anew without: printf '%s' SECRET > FILE.",
    ),
    row(
        "unauthenticated",
        _second_factor,
        "The user's password is right, and a second factor is asked of it.",
        "Exempt the integration user from multi-factor authentication, or use an API key or OAuth.",
    ),
    row(
        "unauthenticated",
        lambda seen: not seen.from_servicenow and not seen.header("Proxy-Authenticate"),
        "The refusal is not ServiceNow's: a gateway before it asks for credentials of its own.",
        "Let this machine reach {host} without it.",
    ),
    row(
        "unauthenticated",
        lambda seen: seen.taken and seen.from_servicenow and not _second_factor(seen),
        "The credentials are good, as `authentication` shows: the REST API access policy of {api} does not take them.",
        "Add to it the authentication profile that lets them into the Table API, for all methods, resources and "
        "versions: System Web Services > REST API Access Policies.",
        by="policy",
    ),
    row(
        "unauthenticated",
        _is("basic"),
        "The user name or the password is wrong.",
        "Set the password of the integration user anew, and write it where `auth.password` refers to.",
        by="password",
    ),
    row(
        "unauthenticated",
        _is("basic"),
        "The user is inactive, locked out, or has to change its password.",
        "Look at the user's record: Active on; Locked out and Password needs reset off.",
        by="user",
    ),
    row(
        "unauthenticated",
        _is("basic"),
        "The instance restricts Basic authentication, and this user is not let through.",
        "Give it `snc_basic_auth_api_access`, or tick Web service access only on its record; a REST API access policy "
        "may refuse passwords too.",
        by="basic_restriction",
    ),
    row(
        "unauthenticated",
        _is("api_key"),
        "The API key was revoked, has expired, or is not the whole key.",
        "Look under System Web Services > API Access Policies > REST API Key: active, not expired; make a new one.",
        by="key",
    ),
    row(
        "unauthenticated",
        _is("api_key"),
        "The plugin API Key and HMAC Authentication is not active; releases older than Washington DC do not have it.",
        "Let an administrator activate it (com.glide.tokenbased_auth); on an older release take another scheme.",
        by="key_plugin",
    ),
    row(
        "unauthenticated",
        _is("api_key"),
        "No REST API access policy of the Table API takes keys, or it is for another API.",
        "Make an inbound authentication profile for the header x-sn-apikey, and name it in the Table API's policy.",
        by="policy",
    ),
    row(
        "unauthenticated",
        _is("api_key"),
        "The user that the key stands for is inactive.",
        "Look at the user that the REST API Key names: Active on; Locked out off.",
        by="key_user",
    ),
    row(
        "unauthenticated",
        lambda seen: seen.scheme.startswith("oauth") and _unknown(seen),
        "A token was given, and is not taken: its user is inactive, or a policy keeps tokens from the Table API.",
        "Look at the user of the OAuth application, and under System Web Services > API Access Policies.",
        by="token",
    ),
    # ServiceNow says server_error, access_denied of almost anything: there all that it may be is told.
    row(
        "token_refused invalid_client",
        always,
        "The client ID or the client secret is not that of an active OAuth application.",
        "Look under System OAuth > Application Registry: Active on; copy Client ID and Client Secret from there anew.",
        by="client",
    ),
    row(
        "token_refused unauthorized_client",
        _by("oauth_client_credentials"),
        "The grant is switched off.",
        "Set glide.oauth.inbound.client.credential.grant_type.enabled to true in sys_properties.list.",
        by="client_grant",
    ),
    row(
        "token_refused invalid_grant",
        _by("oauth_client_credentials"),
        "The application names no user, or one that is inactive.",
        "Set OAuth Application User on the application; it may have to be added to the form.",
        by="client_user",
    ),
    row(
        "token_refused invalid_grant",
        _by("oauth_password"),
        "The user name or the password is wrong, or the user is inactive, locked out, or has to change its password.",
        "Look at the user's record: Active on; Locked out and Password needs reset off; set its password anew.",
        by="password_of_grant",
    ),
    row(
        "token_refused unauthorized_client",
        _by("oauth_password"),
        "The application or a policy does not take passwords, or a second factor is asked of the user.",
        "Exempt the integration user from multi-factor authentication, or take another scheme.",
        by="password_grant",
    ),
    row(
        "token_refused invalid_grant",
        _by("oauth_jwt_bearer"),
        "The application has no JWT verifier map of this `key_id`, or one with the certificate of another key.",
        "Compare `key_id` with the Kid under JWT Verifier Maps, and the certificate there with that of `private_key`.",
        by="verifier_map",
    ),
    row(
        "token_refused invalid_grant",
        _by("oauth_jwt_bearer"),
        "The application's User Field has `user` of no active user.",
        "Compare `user` with that field of the integration user, letter by letter.",
        by="assertion_user",
    ),
    row(
        "token_refused invalid_grant",
        _by("oauth_jwt_bearer"),
        "This machine's clock is off by more than the application's Clock Skew.",
        "Look at `timedatectl`, and at the step `clock` below.",
        by="assertion_clock",
    ),
    row(
        "no_token",
        always,
        "The token endpoint answers, and gives no token: what stands between changes its answers, or the application "
        "is of another kind.",
        "Look under System OAuth > Application Registry: an endpoint for external clients, Active on.",
    ),
    row(
        "key_unusable",
        always,
        "The file of the private key, or its password, has changed.",
        "Correct auth.private_key and auth.private_key_password.",
    ),
    # --- what we may do
    row(
        "invalid_table",
        lambda seen: seen.plugin == THREAT_INTELLIGENCE,
        "{plugin} is not installed.",
        "Install it from the ServiceNow Store, or leave `observables` out of the mappings.",
    ),
    row(
        "invalid_table",
        lambda seen: bool(seen.plugin) and seen.plugin != THREAT_INTELLIGENCE,
        "{plugin} is not installed.",
        "Install it from the ServiceNow Store, or take the targets of security incidents out.",
    ),
    row(
        "invalid_table",
        lambda seen: not seen.plugin,
        "The table {table} is not there: it is not made yet, its app is not installed, or the name is mistyped.",
        "Make the table, install the app that brings it, or correct the name in bridge.yaml.",
    ),
    row(
        "nothing_to_find_in",
        always,
        "The app that brings {table} is not installed, or the name is mistyped.",
        "Install the app that brings it, or correct `find` in the mapping.",
    ),
    row(
        "app_not_installed",
        always,
        "The app is not installed, or an older one without this API is.",
        "Install it from the ServiceNow Store, or say `write: table` of the target.",
    ),
    row(
        "app_forbidden forbidden",
        lambda seen: seen.from_servicenow and bool(seen.app),
        "The integration user lacks the role of Elastic's app.",
        "Give it `{app}.integration_user`; where a REST API access policy is on the app's API, let it in.",
        by="app_role",
    ),
    row(
        "import_error",
        lambda seen: "No transform entry" in seen.message,
        "The staging table has no transform map that is active.",
        "Make one from the staging table to {table}, Active on, that carries each column to the field of its name.",
    ),
    row(
        "id_not_carried",
        lambda seen: "transform map" not in seen.message,
        "A business rule changes the field, an access rule on it drops what this user writes, or it is not there.",
        "Let the integration user write it, take the rule away from its records, or make the column.",
    ),
    row(
        "import_error import_left id_not_carried state_not_carried not_coalesced several_records",
        lambda seen: "transform map" in seen.message and "No transform entry" not in seen.message,
        "The staging table's transform map does something else with the row than the bridge needs.",
        "Let whoever owns the map do what the sentence above says, and try the probe again.",
    ),
    row(
        "acl query_rights rows_hidden columns_hidden",
        lambda seen: bool(seen.usual_role),
        "The integration user lacks a role.",
        "Give it {role}.",
        by="role",
    ),
    row(
        "acl query_rights rows_hidden columns_hidden lookup_unusable",
        always,
        "An access control rule of the instance is narrower than its role.",
        "Let an administrator switch on Debug Security Rules, impersonate the integration user, open {table} and see "
        "which rule refuses: its records, and the fields that are named above, must be open to it.",
        by="rule",
    ),
    row(
        "record_gone",
        always,
        "The record was written, and the user may not read it again.",
        "Give it {role}: what the bridge writes it must be able to read.",
    ),
    row(
        "forbidden",
        lambda seen: seen.from_servicenow and not seen.app,
        "The user may not use {api}: where its access control is active, that takes a role.",
        "Give it `snc_platform_rest_api_access`.",
        by="rest_role",
    ),
    row(
        "forbidden",
        lambda seen: seen.from_servicenow and bool(seen.table) and not seen.app,
        "The table {table} is not open to web services.",
        "Tick Allow access to this table via web services: System Definition > Tables, {table}, Application Access.",
        by="web_services",
    ),
    row(
        "forbidden",
        lambda seen: not seen.from_servicenow,
        "The refusal is not the API's: a gateway, or the instance's list of addresses, keeps this machine out.",
        "Look at System Security > IP Address Access Control, and let this machine's address in.",
    ),
    row(
        "data_policy",
        always,
        "A data policy makes fields mandatory: {named}.",
        "Give them, by the names of their columns, under the target's `defaults`, or free this user from the policy.",
    ),
    row(
        "business_rule",
        always,
        "A business rule refuses the write: {named}.",
        "Ask its owner what it wants, and give that under the target's `defaults`, or let it leave this user alone.",
    ),
)

LOAD: tuple[Row, ...] = (
    # --- how much
    row(
        "rate_limited call_budget",
        lambda seen: seen.code == "rate_limited" or "rate limit rule" in seen.message,
        "The hour's calls that a rate limit rule allows are used up.",
        "Raise the rule for the integration user, or lower limits.calls_per_hour of the instance. A bridge that runs "
        "goes on once the time is over that the answer named.",
    ),
    row(
        "call_budget",
        lambda seen: "rate limit rule" not in seen.message,
        "A visit takes more calls than limits.calls_per_hour of the instance allows.",
        "Raise it, if ServiceNow allows more calls.",
    ),
    row(
        "server_error timed_out connection_lost answer_too_large",
        always,
        "The instance is starting, being upgraded, or overloaded.",
        "Try again in some minutes; then look at status.servicenow.com and the instance's transaction log.",
    ),
    row(
        "clock",
        always,
        "This machine's clock is wrong.",
        "Set it: `timedatectl` says whether it is synchronised. Tokens and late writes are judged by it.",
    ),
)
