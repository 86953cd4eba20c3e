"""Detectors: API keys, their plugin, and the policies that let them in.

The tables and columns are those that public code reads and writes to set API keys up (`sys_plugins`, `v_plugin`,
`api_key`, `http_key_auth`, `sys_token_auth_parameter`, `sys_api_access_policy`, `sys_auth_profile_mapping`);
ServiceNow's documentation names the forms alone. A key's token is stored encrypted and is compared with nothing.
"""

from __future__ import annotations

from bridge.doctor.finding import Cause
from bridge.doctor.inquiry import NOT_SO, Inquiry, Verdict, listed, so, wrong_with
from bridge.doctor.records import Row, Unreadable

PLUGIN = "com.glide.tokenbased_auth"
# Releases without it [OFFICIAL: since Washington DC], as `glide.war` names them.
OLD_RELEASES = (
    *("jakarta", "kingston", "london", "madrid", "newyork", "orlando", "paris", "quebec", "rome", "sandiego"),
    *("tokyo", "utah", "vancouver"),
)
KEYS_FORM = "System Web Services > API Access Policies > REST API Key"
POLICIES_FORM = "System Web Services > REST API Access Policies"
PATHS = {"/api/now/import/": "now/import", "/api/now/v1/attachment": "now/attachment"}  # else the Table API's
NAMES = {"now/table": "Table API", "now/import": "Import Set API", "now/attachment": "Attachment API"}


def key(inquiry: Inquiry) -> Verdict:
    """What is wrong with the keys there are. Which of them is ours the instance does not tell."""
    keys = _keys(inquiry)
    if not keys:
        return so(
            "The instance has no REST API key at all: it was revoked, or never made.",
            f"Make one: {KEYS_FORM} > New, and write its token where `auth.key` refers to.",
        )
    bad = [told for told, is_users in keys.values() if told and not is_users]
    well = [name for name, (told, _) in keys.items() if not told]
    if not well:
        do = f"Make a new one for its user: {KEYS_FORM} > New, and write its token where `auth.key` refers to."
        return Verdict(evidence=tuple(Cause(what=f"{told}.", do=do) for told in bad))
    others = [told for told, _ in keys.values() if told]
    what = f"The key here is not the one that would be taken: {', '.join(well)}."
    if others:
        what = f"{what.removesuffix('.')}. It is another, or one of these: {'; '.join(others)}."
    do = (
        "Copy the Token of the integration user's own key anew, without a blank at its ends; where none of these is its"
    )
    return Verdict(
        left=Cause(what=what, do=f"{do} key, make one: {KEYS_FORM} > New."),
        why=f"nothing is wrong with {', '.join(well)}; which one is here the instance does not tell",
    )


def key_user(inquiry: Inquiry) -> Verdict:
    keys = _keys(inquiry)
    if any(not told for told, _ in keys.values()):
        return NOT_SO  # which one is ours `key` leaves open
    do = "Let the key's user be one that is active and not locked out."
    return Verdict(evidence=tuple(Cause(what=f"{told}.", do=do) for told, is_users in keys.values() if is_users))


def _keys(inquiry: Inquiry) -> dict[str, tuple[str, bool]]:
    """By the name that they are told by: what is wrong with it ("" for nothing), and whether that is its user's."""
    now = f"{inquiry.now:%Y-%m-%d %H:%M:%S}"
    rows = inquiry.records.rows("api_key", "name user user.user_name active expires")
    return {_named(row): _wrong_with_key(inquiry, row, now) for row in rows}


def _named(row: Row) -> str:
    return f"'{row['name']}' of user {row['user.user_name'] or '(gone)'}"


def _wrong_with_key(inquiry: Inquiry, row: Row, now: str) -> tuple[str, bool]:
    name = row["user.user_name"]
    if row["active"] != "true":
        return f"The REST API key {_named(row)} was revoked: it is inactive", False
    if row["expires"] and row["expires"] <= now:
        return f"The REST API key {_named(row)} expired on {row['expires'][:16]} UTC", False
    user = inquiry.user_row(name) if name else None
    if user is None:
        return f"The user of the REST API key '{row['name']}' was deleted", True
    if told := wrong_with(user | {"password_needs_reset": "false"}):
        return f"The user {name}, for which the REST API key '{row['name']}' stands, {told}", True
    return "", False


def key_plugin(inquiry: Inquiry) -> Verdict:
    rows = _plugin(inquiry)
    if rows and rows[0]["active"] in ("active", "true"):
        return NOT_SO
    if rows:
        return so(
            f"The plugin {PLUGIN} is not active (it is {rows[0]['active'] or 'inactive'}).",
            "Let an administrator activate it: Admin Center > Application Manager, API Key and HMAC Authentication.",
        )
    release = _release(inquiry)
    if release in OLD_RELEASES:
        return so(
            f"The instance's release, {release.capitalize()}, is older than Washington DC: it has no API keys.",
            "Take another scheme, or upgrade the instance.",
        )
    which = f"the release is {release.capitalize()}" if release else "which release it is could not be read"
    return so(
        f"The plugin {PLUGIN} is not on the instance ({which}): it is not installed, or its licence lacks it.",
        "Let an administrator install it, ask ServiceNow's support where it cannot be found, or take another scheme.",
    )


def _plugin(inquiry: Inquiry) -> list[Row]:
    """Some instances keep sys_plugins from administrators, and show v_plugin."""
    try:
        return inquiry.records.rows("sys_plugins", "id active", where=("id", PLUGIN))
    except Unreadable as unreadable:
        try:
            return inquiry.records.rows("v_plugin", "id active", where=("id", PLUGIN))
        except Unreadable:
            raise unreadable from None


def _release(inquiry: Inquiry) -> str:
    """As in glide.war, glide-yokohama-07-02-2025…; "" where it may not be read."""
    try:
        war = inquiry.setting("glide.war") or ""
    except Unreadable:
        return ""
    return war.lower().removeprefix("glide-").partition("-")[0]


def policy(inquiry: Inquiry) -> Verdict:
    """Whether a REST API access policy of the API that refuses lets the scheme in."""
    path = inquiry.seen.raw.path if inquiry.seen.raw is not None else ""
    api = next((found for begins, found in PATHS.items() if path.startswith(begins)), "now/table")
    if path and not path.startswith(("/api/now/v2/table/", *PATHS)):
        return Verdict(why=f"which policy is that of {path} no record that is known tells")
    scheme = inquiry.seen.scheme
    if scheme != "api_key":
        kind = "passwords" if scheme == "basic" else "tokens"
        return Verdict(why=f"which authentication profiles are for {kind} no record that is known tells")
    profiles = _key_profiles(inquiry)
    if not profiles:
        return so(
            "No inbound authentication profile for API keys is active that reads the header x-sn-apikey.",
            "Make one: System Web Services > API Access Policies > Inbound Authentication Profiles > New > Create API "
            "Key authentication profiles, with the auth parameter x-sn-apikey: Auth Header.",
        )
    policies = [
        row
        for row in inquiry.records.rows("sys_api_access_policy", "name active api_path")
        if row["api_path"].strip("/") == api
    ]
    mapped = inquiry.records.rows("sys_auth_profile_mapping", "api_access_policy inbound_auth_profile")
    taking = {row["api_access_policy"] for row in mapped if row["inbound_auth_profile"] in profiles}
    if any(row["active"] == "true" and row["sys_id"] in taking for row in policies):
        scope = "one that takes keys is active, and whether the key's scope has this API no record that is known tells"
        return Verdict(why=scope) if inquiry.seen.taken else NOT_SO
    inactive = [row["name"] for row in policies if row["active"] != "true" and row["sys_id"] in taking]
    active = [row["name"] for row in policies if row["active"] == "true"]
    so_far = f"of it are active: {listed(active)}"
    if inactive:
        so_far = f"'{inactive[0]}', which does, is inactive"
    return so(
        f"No REST API access policy of the {NAMES[api]} names an API-key profile ({so_far}).",
        f"Let one name the profile {listed(profiles.values())}, for all methods, resources, versions: {POLICIES_FORM}.",
    )


def _key_profiles(inquiry: Inquiry) -> dict[str, str]:
    """sys_id -> name."""
    rows = inquiry.records.rows("http_key_auth", "name active auth_parameter.parameter_name")
    return {
        row["sys_id"]: row["name"]
        for row in rows
        if row["active"] == "true" and row["auth_parameter.parameter_name"] == "x-sn-apikey"
    }
