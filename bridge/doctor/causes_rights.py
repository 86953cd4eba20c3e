"""Why an instance does not take who we are, or what we do. In each group the most probable comes first."""

from __future__ import annotations

from bridge.doctor.cause_rows import ROLES, Fits, Row, Seen, always, row


def _is(scheme: str) -> Fits:
    return lambda seen: seen.scheme == scheme and seen.from_servicenow and not _second_factor(seen)


def _second_factor(seen: Seen) -> bool:
    return bool(seen.header("X-MFA_TOKEN"))


RIGHTS: tuple[Row, ...] = (
    # --- who we are
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
        _is("basic"),
        "The user name or the password is wrong.",
        "Set the password of the integration user anew, and write it where `auth.password` refers to.",
    ),
    row(
        "unauthenticated",
        _is("basic"),
        "The user is inactive, locked out, or has to change its password.",
        "Look at the user's record: Active on; Locked out and Password needs reset off.",
    ),
    row(
        "unauthenticated",
        _is("basic"),
        "The instance restricts Basic authentication, and this user is not let through.",
        "Give it `snc_basic_auth_api_access`, or tick Web service access only on its record; a REST API access policy "
        "may refuse passwords too.",
    ),
    row(
        "unauthenticated",
        _is("api_key"),
        "The API key was revoked, has expired, or is not the whole key.",
        "Look under System Web Services > API Access Policies > REST API Key: active, not expired; make a new one.",
    ),
    row(
        "unauthenticated",
        _is("api_key"),
        "No REST API access policy takes API keys for the Table API.",
        "Make an inbound authentication profile for the header x-sn-apikey, and name it in the policy of that API.",
    ),
    row(
        "unauthenticated",
        _is("api_key"),
        "The user that the key stands for is inactive.",
        "Look at the user that the REST API Key names: Active on; Locked out off.",
    ),
    row(
        "unauthenticated",
        lambda seen: seen.scheme.startswith("oauth") and seen.from_servicenow,
        "A token was given, and is not taken: its user is inactive, or a policy keeps tokens from the Table API.",
        "Look at the user of the OAuth application, and under System Web Services > API Access Policies.",
    ),
    row(
        "token_refused invalid_client invalid_grant unauthorized_client key_unusable",
        always,
        "The OAuth application does not give a token to these credentials.",
        "Look at System OAuth > Application Registry; the sentence above has the order in which to look.",
    ),
    # --- what we may do
    row(
        "invalid_table",
        lambda seen: bool(seen.plugin),
        "{plugin} is not installed.",
        "Install it from the ServiceNow Store, or take the targets of security incidents out.",
    ),
    row(
        "invalid_table",
        lambda seen: not seen.plugin,
        "The table {table} is not there: its app is not installed, or the name is mistyped.",
        "Correct the name, or install the app that brings the table.",
    ),
    row(
        "app_not_installed",
        always,
        "The app is not there, or the user lacks its role.",
        "Install Elastic's app from the ServiceNow Store, and give the user its role `integration_user` and "
        "`import_set_loader`; or say `write: table`.",
    ),
    row(
        "import_error import_left id_not_carried state_not_carried not_coalesced several_records",
        always,
        "The staging table's transform map does something else with the row than the bridge needs.",
        "Let whoever owns the map do what the sentence above says, and try the probe again.",
    ),
    row(
        "acl query_rights rows_hidden columns_hidden",
        lambda seen: seen.table in ROLES,
        "The integration user lacks a role.",
        "Give it {role}.",
    ),
    row(
        "acl query_rights rows_hidden columns_hidden lookup_unusable",
        always,
        "An access control rule of the instance is narrower than its role.",
        "Let an administrator debug security rules as the integration user on {table}: every field that the sentence "
        "above names must be readable.",
    ),
    row(
        "record_gone",
        always,
        "The record was written, and the user may not read it again.",
        "Give it {role}: what the bridge writes it must be able to read.",
    ),
    row(
        "forbidden",
        lambda seen: seen.from_servicenow,
        "The user may not use the Table API: where its access control is active, that takes a role.",
        "Give it `snc_platform_rest_api_access`.",
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
        "A data policy makes fields mandatory: {message}",
        "Give these fields under the target's `defaults`, or make them optional for the integration user.",
    ),
    row(
        "business_rule",
        always,
        "A business rule refuses the write: {message}",
        "Ask its owner what it wants, and give that under the target's `defaults`.",
    ),
)

LOAD: tuple[Row, ...] = (
    # --- how much
    row(
        "rate_limited",
        always,
        "The hour's calls that a rate limit rule allows are used up.",
        "Raise the rule for the integration user, or lower limits.calls_per_hour of the instance.",
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
