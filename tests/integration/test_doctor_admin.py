"""The doctor with an administrator: of what RAD Security lists under Troubleshooting, the cause that it is.

Its page is ServiceNow (ITSM) Integration Setup: each of its possible causes is a row here, or refused by `bridge.yaml`
before anything is asked.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from doctor_world import Patient, first_cause

from bridge.simulator.access import ApiKey, Group, OAuthClient, Policy, User
from bridge.simulator.acl import Needs
from bridge.simulator.faults import Fault, FaultKind
from bridge.simulator.server import SimulatorServer
from bridge.simulator.state import Simulator
from bridge.wiring import utc_now

KEY = "{scheme: api_key, key: {file: var/key}}"
CLIENT = "{scheme: oauth_client_credentials, client_id: c1, client_secret: {file: var/key}}"
USER = "bridge.integration"
BASIC = f"{{scheme: basic, username: {USER}, password: {{file: var/key}}}}"
PASSWORD = f"{{scheme: oauth_password, client_id: c1, client_secret: {{file: var/key}}, {BASIC.split(', ', 1)[1]}"
WORD = "ada's own words"
ENOUGH = frozenset({"sn_incident_write"})

Change = Callable[[Simulator], object]


@pytest.fixture
def servicenow() -> Iterator[SimulatorServer]:
    with SimulatorServer(clock=utc_now) as server:
        simulator = server.simulator
        simulator.add_user(User(name="ada", password=WORD, roles=frozenset({"admin", "snc_basic_auth_api_access"})))
        simulator.add_user(User(name=USER, password="right", roles=ENOUGH))
        simulator.access.api_keys["right"] = ApiKey(user=USER)
        simulator.access.clients["c1"] = OAuthClient(secret="right", user=USER)
        yield server


@pytest.fixture
def patient(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Patient:
    monkeypatch.setenv("ADMIN", WORD)
    patient = Patient(tmp_path, capsys)
    (tmp_path / "var" / "key").write_text("right\n")
    (tmp_path / "var" / "key").chmod(0o600)
    return patient


def causes(patient: Patient, *words: str, step: str = "") -> list[dict[str, Any]]:
    """Of the one step that is wrong, or of `step`."""
    found = patient.findings(*words, status=1)
    (wrong,) = [found[step]] if step else [one for one in found.values() if one["outcome"] == "wrong"]
    listed: list[dict[str, Any]] = wrong["causes"]
    return listed


def admin(patient: Patient, *words: str, step: str = "") -> list[dict[str, Any]]:
    return causes(patient, "--admin", "ada", "--admin-password", "env:ADMIN", *words, step=step)


def detected(listed: list[dict[str, Any]]) -> list[str]:
    return told_as("detected", listed)


def told_as(certainty: str, listed: list[dict[str, Any]]) -> list[str]:
    return [cause["what"] for cause in listed if cause["certainty"] == certainty]


def key_is(**changed: Any) -> Change:
    def change(simulator: Simulator) -> None:
        keys = simulator.access.api_keys
        keys["right"] = replace(keys["right"], **changed)

    return change


def user_is(**changed: Any) -> Change:
    def change(simulator: Simulator) -> None:
        simulator.add_user(replace(simulator.access.users[USER], **changed))

    return change


def client_is(**changed: Any) -> Change:
    def change(simulator: Simulator) -> None:
        simulator.access.clients["c1"] = replace(simulator.access.clients["c1"], **changed)

    return change


def access_is(**changed: Any) -> Change:
    def change(simulator: Simulator) -> None:
        for name, value in changed.items():
            setattr(simulator.access, name, value)

    return change


def policy_is(**changed: Any) -> Change:
    def change(simulator: Simulator) -> None:
        simulator.access.policies["Table API"] = replace(Policy(api="table"), **changed)

    return change


def user_deleted(simulator: Simulator) -> None:
    del simulator.access.users[USER]
    simulator.person_deletes("sys_user", simulator.rows.user_id(USER))


def token_mistyped(simulator: Simulator) -> None:
    key = simulator.access.api_keys.pop("right")
    simulator.access.api_keys["another"] = key


def token_revoked(simulator: Simulator) -> None:
    simulator.access.api_keys.clear()


def wants_custom_role(simulator: Simulator) -> None:
    roles = frozenset({"rad_security_integration"})
    simulator.needs["incident"] = Needs(read=ENOUGH, write=roles)


def wants_the_wider_role(simulator: Simulator) -> None:
    simulator.needs["incident"] = Needs(read=ENOUGH, write=frozenset({"itil"}))


def left_the_group(simulator: Simulator) -> None:
    simulator.access.groups["Platform"] = Group(roles=ENOUGH, members=frozenset({"fred"}))
    user_is(roles=frozenset())(simulator)


def closed_table(simulator: Simulator) -> None:
    simulator.closed = frozenset({"incident"})


def nothing(_simulator: Simulator) -> None:
    pass


OF_USER = f"'Bridge' of user {USER}"
NO_POLICY = "No REST API access policy of the Table API names an API-key profile"
# What RAD Security lists: its heading and cause -> how it comes about here, by which scheme, and what is detected.
REFUSALS: dict[str, tuple[Change, str, str]] = {
    # Authentication Failed; Token Expired or Revoked
    "API token is expired": (
        key_is(expires="2020-10-01 00:00:00"),
        KEY,
        f"The REST API key {OF_USER} expired on 2020-10-01 00:00 UTC.",
    ),
    "API token was revoked": (
        token_revoked,
        KEY,
        "The instance has no REST API key at all: it was revoked, or never made.",
    ),
    "Token was manually revoked": (
        key_is(active=False),
        KEY,
        f"The REST API key {OF_USER} was revoked: it is inactive.",
    ),
    "Service user account was disabled": (
        user_is(active=False),
        KEY,
        f"The user {USER}, for which the REST API key 'Bridge' stands, is inactive.",
    ),
    "Service user account was deleted": (user_deleted, KEY, "The user of the REST API key 'Bridge' was deleted."),
    "API access policy changed": (
        policy_is(profiles=frozenset({"basic"})),
        KEY,
        f"{NO_POLICY} (of it are active: Table API).",
    ),
    "API access policy is gone": (
        access_is(policies={}),
        KEY,
        f"{NO_POLICY} (of it are active: none).",
    ),
    "API access policy is inactive": (
        policy_is(active=False),
        KEY,
        f"{NO_POLICY} ('Table API', which does, is inactive).",
    ),
    # API Key Plugin Not Available
    "ServiceNow version is older": (
        access_is(release="vancouver"),
        KEY,
        "The instance's release, Vancouver, is older than Washington DC: it has no API keys.",
    ),
    "Plugin not activated": (
        access_is(key_plugin=False),
        KEY,
        "The plugin com.glide.tokenbased_auth is not active (it is inactive).",
    ),
    "License does not include it": (
        access_is(key_plugin=None),
        KEY,
        "The plugin com.glide.tokenbased_auth is not on the instance (the release is Yokohama): it is not installed, "
        "or its licence lacks it.",
    ),
    # The same of the other ways in
    "user of a password is inactive": (user_is(active=False), BASIC, f"The user {USER} is inactive."),
    "user of a password is locked out": (user_is(locked_out=True), BASIC, f"The user {USER} is locked out."),
    "password is to be changed": (
        user_is(password_needs_reset=True),
        BASIC,
        f"The user {USER} has to change its password.",
    ),
    "user of a password was deleted": (
        user_deleted,
        BASIC,
        f"There is no user {USER}: it was deleted, or its User ID is another.",
    ),
    "Basic is restricted": (
        access_is(basic_restricted=True),
        BASIC,
        "The instance restricts Basic (glide.authenticate.basic_auth.restriction.enforce is true), and "
        f"{USER} is neither Web service access only, nor has it `snc_basic_auth_api_access`.",
    ),
    "client ID is wrong": (access_is(clients={}), CLIENT, "No OAuth application has the client ID c1."),
    "application is inactive": (client_is(active=False), CLIENT, "The OAuth application 'c1' is inactive."),
    "grant is switched off": (
        access_is(client_credentials=False),
        CLIENT,
        "The grant is switched off: glide.oauth.inbound.client.credential.grant_type.enabled is false.",
    ),
    "application names no user": (client_is(user=""), CLIENT, "The OAuth application 'c1' names no user."),
    "application's user is inactive": (user_is(active=False), CLIENT, f"The user {USER} is inactive."),
    "user of a password grant is inactive": (user_is(active=False), PASSWORD, f"The user {USER} is inactive."),
}
# What is compared with nothing, and is found by what nothing else is.
ELSE = "(all else that is known was ruled out)."
LEFT: dict[str, tuple[Change, str, str]] = {
    "API token is incorrect": (
        token_mistyped,
        KEY,
        f"The key here is not the one that would be taken: {OF_USER} {ELSE}",
    ),
    "password is wrong": (user_is(password="another"), BASIC, f"The password of {USER} is wrong {ELSE}"),
    "client secret is wrong": (
        client_is(secret="another"),
        CLIENT,
        f"The client secret is not that of the OAuth application 'c1', which is active {ELSE}",
    ),
    "application does not take the grant": (  # no record that is known tells of it: what is said is not so
        client_is(grants=frozenset({"password"})),
        CLIENT,
        f"The client secret is not that of the OAuth application 'c1', which is active {ELSE}",
    ),
    "policy keeps tokens out": (
        policy_is(profiles=frozenset({"basic", "api_key"})),
        CLIENT,
        f"The token's user is well: a REST API access policy keeps its tokens from the Table API {ELSE}",
    ),
}
RIGHTS: dict[str, tuple[Change, str, str, str]] = {
    # Insufficient Permissions; Cannot Create Incidents
    "User missing required roles": (
        user_is(roles=frozenset({"sn_incident_read"})),
        "write itsm",
        f"The user {USER} has not the role sn_incident_write, which incident takes (it has: sn_incident_read).",
        "Give it `sn_incident_write`.",
    ),
    "Custom role not assigned": (
        wants_custom_role,
        "write itsm",
        f"The access control rules of incident for create let in rad_security_integration, and the user {USER} has "
        "none of them (it has: sn_incident_write).",
        "Give it `rad_security_integration`.",
    ),
    "ACL not properly configured": (
        wants_the_wider_role,
        "write itsm",
        f"The user {USER} has not the role itil, which incident takes (it has: sn_incident_write).",
        "Give it `itil`.",
    ),
    "User removed from necessary groups": (
        left_the_group,
        "read incident",
        f"The user {USER} has not the role sn_incident_write, which incident takes (it has: none).",
        "Put it into the group Platform, which has `sn_incident_write` and does not have it, or give it "
        "`sn_incident_write`.",
    ),
    "Table access restrictions": (
        closed_table,
        "authentication",
        "The table incident is closed to web services: its ws_access is false.",
        "Tick Allow access to this table via web services: System Definition > Tables, incident, Application Access.",
    ),
}


@pytest.mark.parametrize("cause", REFUSALS)
def test_what_rad_security_lists_for_a_refusal_is_detected(
    patient: Patient, servicenow: SimulatorServer, cause: str
) -> None:
    change, auth, told = REFUSALS[cause]
    change(servicenow.simulator)
    patient.is_at(servicenow.url, auth=auth)
    listed = admin(patient)
    assert detected(listed) == [told]
    assert listed[0]["what"] == told


@pytest.mark.parametrize("cause", LEFT)
def test_what_no_record_shows_and_nothing_else_explains_is_not_called_detected(
    patient: Patient, servicenow: SimulatorServer, cause: str
) -> None:
    change, auth, told = LEFT[cause]
    change(servicenow.simulator)
    patient.is_at(servicenow.url, auth=auth)
    listed = admin(patient)
    assert [(cause["certainty"], cause["what"]) for cause in listed] == [("left", told)]


@pytest.mark.parametrize("cause", RIGHTS)
def test_what_rad_security_lists_for_missing_rights_is_detected(
    patient: Patient, servicenow: SimulatorServer, cause: str
) -> None:
    change, step, told, do = RIGHTS[cause]
    change(servicenow.simulator)
    patient.is_at(servicenow.url, auth=KEY)
    listed = admin(patient, "--write-probe", step=step)
    assert detected(listed) == [told]
    assert listed[0]["do"] == do


def test_what_rad_security_lists_and_the_answer_itself_names_is_told_without_an_administrator(
    patient: Patient, servicenow: SimulatorServer
) -> None:
    """Required fields not mapped; workflow or business rules that block the creation."""
    patient.is_at(servicenow.url, auth=KEY)
    servicenow.simulator.rows.mandatory["incident"] = ("caller_id",)
    fields = causes(patient, "--write-probe")[0]["what"]
    servicenow.simulator.rows.mandatory.clear()
    servicenow.simulator.faults.add(Fault(kind=FaultKind.BUSINESS_RULE, table="incident", times=None))
    rule = causes(patient, "--write-probe")[0]["what"]
    assert fields == "A data policy makes fields mandatory: Caller id."
    assert rule == "A business rule refuses the write: Refuse what integrations write."


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://acme.service-now.com/api/", "write https://acme.service-now.com"),
        ("https://acme.service-now.com/incident.do", "write https://acme.service-now.com"),
        ("acme.service-now.com", "write https://acme.service-now.com"),
        ("acme", "write https://acme.service-now.com"),
    ],
)
def test_an_address_that_rad_security_warns_of_is_refused_with_the_one_to_write(
    patient: Patient, url: str, said: str
) -> None:
    """Including additional path components. A trailing slash, or none, makes no difference here."""
    patient.is_at(url, auth=KEY)
    patient.doctor(status=2)
    assert said in patient.error


def test_a_trailing_slash_makes_no_difference(patient: Patient, servicenow: SimulatorServer) -> None:
    patient.is_at(f"{servicenow.url}/", auth=KEY)
    patient.findings(status=0)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (
            "https://acmee.service-now.com",
            "There is no instance of this name: it is mistyped, or was renamed or retired.",
        ),
        ("https://developer.servicenow.com", "developer.servicenow.com is not an instance: servicenow.com is the"),
    ],
)
def test_a_wrong_name_that_rad_security_warns_of_is_told(
    patient: Patient, monkeypatch: pytest.MonkeyPatch, url: str, told: str
) -> None:
    """Incorrect instance name; the developer site's address."""

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    patient.is_at(url, auth=KEY)
    assert first_cause(patient.wrong()).startswith(told)


# --- what the records do not tell


def hidden(*tables: str) -> Change:
    def change(simulator: Simulator) -> None:
        simulator.needs |= dict.fromkeys(tables, Needs(read=frozenset({"x_nobody"})))
        simulator.add_user(User(name="ada", password=WORD, roles=frozenset({"snc_basic_auth_api_access"})))
        readable = simulator.needs.keys() - set(tables)
        simulator.needs |= dict.fromkeys(readable, Needs())

    return change


@pytest.mark.parametrize(
    ("tables", "named"),
    [
        (("sys_plugins", "v_plugin"), "sys_plugins may not be read by ada"),
        (("sys_api_access_policy",), "sys_api_access_policy may not be read by ada"),
        (("api_key",), "api_key may not be read by ada"),
    ],
)
def test_a_table_that_may_not_be_read_leaves_its_cause_not_detected(
    patient: Patient, servicenow: SimulatorServer, tables: tuple[str, ...], named: str
) -> None:
    token_mistyped(servicenow.simulator)
    hidden(*tables)(servicenow.simulator)
    patient.is_at(servicenow.url, auth=KEY)
    listed = admin(patient)
    assert detected(listed) == []
    assert any(named in cause["what"] for cause in listed)


def test_what_is_found_is_detected_though_another_table_may_not_be_read(
    patient: Patient, servicenow: SimulatorServer
) -> None:
    key_is(active=False)(servicenow.simulator)
    hidden("sys_plugins", "v_plugin")(servicenow.simulator)
    patient.is_at(servicenow.url, auth=KEY)
    first, second, *rest = admin(patient)
    assert (first["certainty"], second["certainty"], rest) == ("detected", "not_detected", [])
    assert "(sys_plugins may not be read by ada)" in second["what"]


def test_a_plugin_that_one_table_does_not_show_is_looked_for_in_the_other(
    patient: Patient, servicenow: SimulatorServer
) -> None:
    access_is(key_plugin=False)(servicenow.simulator)
    hidden("sys_plugins")(servicenow.simulator)
    patient.is_at(servicenow.url, auth=KEY)
    assert detected(admin(patient)) == ["The plugin com.glide.tokenbased_auth is not active (it is inactive)."]


def test_of_several_keys_it_is_not_said_which_is_ours(patient: Patient, servicenow: SimulatorServer) -> None:
    token_mistyped(servicenow.simulator)
    servicenow.simulator.access.api_keys["old"] = ApiKey(user="fred", name="Old", active=False)
    patient.is_at(servicenow.url, auth=KEY)
    listed = admin(patient)
    assert listed[0]["do"].startswith("Copy the Token of the integration user's own key anew")
    assert told_as("left", listed) == [
        f"The key here is not the one that would be taken: {OF_USER}. It is another, or one of these: The REST API key "
        f"'Old' of user fred was revoked: it is inactive {ELSE}"
    ]


def test_a_column_that_is_not_there_leaves_its_cause_not_detected(
    patient: Patient, servicenow: SimulatorServer
) -> None:
    rows = servicenow.simulator.rows
    table = rows.tables["api_key"]
    rows.tables["api_key"] = replace(table, columns=table.columns - {"expires"})
    key_is(active=False)(servicenow.simulator)
    patient.is_at(servicenow.url, auth=KEY)
    assert "(api_key shows no column expires)" in admin(patient)[0]["what"]


def test_an_administrator_who_is_not_let_in_is_asked_for_nothing_more(
    patient: Patient, servicenow: SimulatorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADMIN", "wrong words")
    token_mistyped(servicenow.simulator)
    patient.is_at(servicenow.url, auth=KEY)
    listed = admin(patient)
    assert {cause["certainty"] for cause in listed} == {"not_detected"}
    assert "the instance does not take ada and this password by Basic" in listed[0]["what"]
    assert len([call for call in servicenow.simulator.calls if call[2] == 401]) == 2  # the bridge's, and one of ada's


def test_several_secrets_that_are_left_are_not_told_apart(patient: Patient, servicenow: SimulatorServer) -> None:
    client_is(secret="another")(servicenow.simulator)
    patient.is_at(servicenow.url, auth=PASSWORD)
    listed = admin(patient)
    assert (detected(listed), len(listed)) == ([], 3)


def test_a_secret_is_not_all_that_is_left_when_a_blank_is_sent_with_it(
    patient: Patient, servicenow: SimulatorServer
) -> None:
    (patient.folder / "var" / "key").write_text(" right\n")
    patient.is_at(servicenow.url, auth=BASIC)
    listed = admin(patient)
    assert [cause["certainty"] for cause in listed] == ["probable", "not_detected"]


def test_what_is_detected_is_not_gainsaid_by_a_secret_that_nobody_can_compare(
    patient: Patient, servicenow: SimulatorServer
) -> None:
    access_is(basic_restricted=True)(servicenow.simulator)
    patient.is_at(servicenow.url, auth=BASIC)
    listed = admin(patient)
    assert [cause["certainty"] for cause in listed] == ["detected", "not_detected"]
    assert listed[1]["what"] == (
        f"The user name or the password is wrong (there is a user {USER}, and its password is compared with nothing)."
    )


FINDING = """\
mapping: probe
version: 1
owner: tests@corp.example
correlation: {id: "{{ .rule }}"}
route: [{to: itsm}]
fields: {create: {short_description: x, cmdb_ci: {find: cmdb_ci_server, by: {name: "{{ .host }}"}, else: none}}}
"""


def test_of_the_roles_that_would_let_look_up_the_least_is_told(
    patient: Patient, servicenow: SimulatorServer, tmp_path: Path
) -> None:
    (tmp_path / "mappings").mkdir()
    (tmp_path / "mappings" / "probe.yaml").write_text(FINDING)
    patient.is_at(servicenow.url, auth=KEY, sources="{probe: {mapping: probe, auth: {scheme: none}}}")
    (cause,) = admin(patient, step="find cmdb_ci_server")
    assert (cause["certainty"], cause["do"]) == ("detected", "Give it `cmdb_read`.")


def test_the_role_of_elastics_app_that_is_lacking_is_detected(patient: Patient, servicenow: SimulatorServer) -> None:
    user_is(roles=ENOUGH | {"import_set_loader", "import_transformer"})(servicenow.simulator)
    target = "  itsm: {instance: prod, table: incident, write: import_set, preset: elastic}\n"
    patient.is_at(servicenow.url, auth=KEY, targets=target)
    told = f"The user {USER} has not the role x_elas2_inc_int.integration_user, which Elastic's app takes (it has: "
    for step in ("import set x_elas2_inc_int_elastic_incident", "write itsm"):
        (found,) = detected(admin(patient, "--write-probe", step=step))
        assert found.startswith(told)


# --- JWT


def test_a_verifier_map_that_is_not_there_is_detected(patient: Patient, servicenow: SimulatorServer) -> None:
    key, pem = _pair()
    jwt_at(patient, servicenow, key, kid="k2", keys={"k1": pem}, subject="user_name")
    assert detected(admin(patient)) == [
        "The OAuth application 'c1' has no JWT verifier map of the Kid k2 (it has: k1)."
    ]


def test_a_verifier_map_with_the_certificate_of_another_key_is_detected(
    patient: Patient, servicenow: SimulatorServer
) -> None:
    jwt_at(patient, servicenow, _pair()[0], kid="k1", keys={"k1": _pair()[1]}, subject="user_name")
    assert detected(admin(patient)) == [
        "The JWT verifier map k1 has the certificate of another key than `private_key`."
    ]


def test_a_user_that_an_assertion_does_not_find_is_detected(patient: Patient, servicenow: SimulatorServer) -> None:
    key, pem = _pair()
    jwt_at(patient, servicenow, key, kid="k1", keys={"k1": pem}, subject="email")
    assert detected(admin(patient)) == [f"No user has email '{USER}', at which the OAuth application 'c1' looks."]


def jwt_at(patient: Patient, servicenow: SimulatorServer, key: bytes, *, kid: str, **client: Any) -> None:
    (patient.folder / "var" / "private.pem").write_bytes(key)
    client_is(**client)(servicenow.simulator)
    auth = f"{{scheme: oauth_jwt_bearer, client_id: c1, client_secret: {{file: var/key}}, key_id: {kid}, "
    patient.is_at(servicenow.url, auth=auth + f"private_key: {{file: var/private.pem}}, user: {USER}}}")


def _pair() -> tuple[bytes, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


# --- the command


def test_without_an_administrator_the_last_line_says_how_it_is_detected(
    patient: Patient, servicenow: SimulatorServer
) -> None:
    token_mistyped(servicenow.simulator)
    patient.is_at(servicenow.url, auth=KEY)
    lines = [line.strip() for line in patient.doctor(status=1).splitlines()]
    assert "Which of them it is: bridge doctor --instance prod --admin USER" in lines
    assert {cause["certainty"] for cause in causes(patient)} == {"probable"}


def test_what_is_detected_is_marked_for_people(patient: Patient, servicenow: SimulatorServer) -> None:
    key_is(active=False)(servicenow.simulator)
    patient.is_at(servicenow.url, auth=KEY)
    told = patient.doctor("--admin", "ada", "--admin-password", "env:ADMIN", status=1)
    assert f"1. DETECTED: The REST API key {OF_USER} was revoked" in told
    assert "Which of them it is" not in told


def test_what_is_left_is_marked_for_people(patient: Patient, servicenow: SimulatorServer) -> None:
    token_mistyped(servicenow.simulator)
    patient.is_at(servicenow.url, auth=KEY)
    told = patient.doctor("--admin", "ada", "--admin-password", "env:ADMIN", status=1)
    assert f"1. LEFT: The key here is not the one that would be taken: {OF_USER} {ELSE}" in told


def test_it_only_reads_and_asks_an_instance_that_is_well_for_nothing(
    patient: Patient, servicenow: SimulatorServer
) -> None:
    patient.is_at(servicenow.url, auth=KEY)
    patient.findings("--admin", "ada", "--admin-password", "env:ADMIN", status=0)
    assert not [path for _, path, _ in servicenow.simulator.calls if "api_key" in path]
    key_is(active=False)(servicenow.simulator)
    admin(patient)
    assert {method for method, _, _ in servicenow.simulator.calls} == {"GET"}


def test_the_password_is_asked_for_and_never_shown_or_kept(
    patient: Patient, servicenow: SimulatorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def hidden_prompt(prompt: str) -> str:
        asked.append(prompt)
        return WORD

    monkeypatch.setattr("click.termui.hidden_prompt_func", hidden_prompt)
    key_is(active=False)(servicenow.simulator)
    patient.is_at(servicenow.url, auth=KEY)
    told = patient.doctor("--admin", "ada", status=1)
    assert (len(asked), "DETECTED" in told) == (1, True)
    assert WORD not in told + patient.error
    assert not [path for path in patient.folder.rglob("*") if path.is_file() and WORD.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--admin-password", "env:ADMIN"), "--admin-password wants --admin USER"),
        (
            ("--admin", "ada", "--admin-password", "my own secret"),
            "not a reference to a secret: write file:PATH or env:NAME",
        ),
        (("--admin", "ada", "--admin-password", "file:absent"), "absent cannot be read"),
        (("--admin", "ada", "--admin-password", "env:BRIDGE_NOT_SET"), "BRIDGE_NOT_SET is not set"),
        (("--admin", "a:b", "--admin-password", "env:ADMIN"), "is not a user name"),
    ],
)
def test_what_is_not_a_password_is_wrong_usage_and_not_repeated(
    patient: Patient, servicenow: SimulatorServer, words: tuple[str, ...], said: str
) -> None:
    patient.is_at(servicenow.url, auth=KEY)
    patient.doctor(*words, status=2)
    assert said in patient.error
    assert "my own secret" not in patient.error


def test_a_password_is_for_one_instance_alone(patient: Patient, servicenow: SimulatorServer) -> None:
    patient.is_at(servicenow.url, auth=KEY)
    text = patient.config.read_text()
    more = f"  dev: {{url: {servicenow.url}, auth: {KEY}}}\n"
    patient.config.write_text(text.replace("instances:\n", f"instances:\n{more}"))
    patient.doctor("--admin", "ada", "--admin-password", "env:ADMIN", status=2)
    assert "name it with --instance (dev, prod)" in patient.error
