"""Secrets by reference: read when needed, checked before anything starts, never shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bridge.settings import Secret, check_secrets, load_settings, open_secrets

SOURCE = "sources:\n  edr:\n    mapping: m\n    auth: {scheme: bearer, secret: %s}\n"
LOG = "log: {signing_key: {file: log.key}}\n"


def told(folder: Path, text: str) -> str:
    (folder / "bridge.yaml").write_text(text)
    return "\n".join(str(problem) for problem in check_secrets(load_settings(folder / "bridge.yaml")))


def write_key(folder: Path, raw: bytes, mode: int = 0o600) -> None:
    (folder / "log.key").write_bytes(raw)
    (folder / "log.key").chmod(mode)


def pem(key: object) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize(
    ("raw", "value"), [(b"abc\n", b"abc"), (b"abc\r\n", b"abc"), (b"a b\n\n", b"a b\n"), (b"x", b"x")]
)
def test_one_trailing_newline_of_a_file_is_not_part_of_the_secret(tmp_path: Path, raw: bytes, value: bytes) -> None:
    (tmp_path / "s").write_bytes(raw)
    assert Secret(kind="file", name=str(tmp_path / "s")).read() == value


def test_a_secret_of_the_environment_is_read_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = Secret(kind="env", name="BRIDGE_TEST_SECRET")
    monkeypatch.setenv("BRIDGE_TEST_SECRET", "grün")
    assert secret.read() == "grün".encode()


def test_a_variable_that_is_not_set_is_told_with_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BRIDGE_TEST_SECRET", raising=False)
    expected = "bridge.yaml:4:36: sources.edr.auth.secret: the environment variable BRIDGE_TEST_SECRET is not set"
    assert expected in told(tmp_path, SOURCE % "{env: BRIDGE_TEST_SECRET}")


def test_of_two_secrets_the_missing_one_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRIDGE_TEST_SECRET", "there")
    text = told(tmp_path, SOURCE % "[{env: BRIDGE_TEST_SECRET}, {file: old}]")
    assert "sources.edr.auth.secret.1: " in text
    assert "sources.edr.auth.secret.0: " not in text


def test_an_empty_secret_is_none(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("\n")
    assert "token is empty" in told(tmp_path, SOURCE % "{file: token}")


def test_the_instances_account_is_looked_at_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BRIDGE_TEST_SECRET", raising=False)
    auth = "{scheme: basic, username: {env: BRIDGE_TEST_SECRET}, password: {file: absent}}"
    text = told(tmp_path, f"instances: {{i: {{url: 'https://x.example', auth: {auth}}}}}")
    assert "instances.i.auth.username: " in text
    assert "instances.i.auth.password: " in text


def test_a_user_name_with_a_colon_is_none_for_basic(tmp_path: Path) -> None:
    (tmp_path / "name").write_text("corp:siem\n")
    auth = "{scheme: basic, username: {file: name}, password: {file: name}}"
    text = told(tmp_path, f"instances: {{i: {{url: 'https://x.example', auth: {auth}}}}}")
    assert "instances.i.auth.username: what " in text
    assert f"what {tmp_path / 'name'} holds a colon" in text
    assert "corp:siem" not in text


def test_a_user_name_of_two_lines_is_none_for_basic(tmp_path: Path) -> None:
    (tmp_path / "name").write_text("siem\nmore\n")
    auth = "{scheme: basic, username: {file: name}, password: {file: name}}"
    text = told(tmp_path, f"instances: {{i: {{url: 'https://x.example', auth: {auth}}}}}")
    assert f"what {tmp_path / 'name'} holds a line break or another control character" in text


def warned(folder: Path, text: str) -> str:
    (folder / "bridge.yaml").write_text(text)
    return "\n".join(str(problem) for problem in open_secrets(load_settings(folder / "bridge.yaml")))


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o440, 0o666])
def test_a_secret_of_ours_that_others_can_read_is_warned_of_with_its_place(tmp_path: Path, mode: int) -> None:
    write_key(tmp_path, b"canary", mode)
    text = warned(tmp_path, SOURCE % "{file: log.key}")
    assert "bridge.yaml:4:36: sources.edr.auth.secret: others can read " in text
    assert f"(mode {mode:04o}) (chmod 600 " in text
    assert told(tmp_path, SOURCE % "{file: log.key}") == ""


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_secret_for_its_owner_alone_is_not_warned_of(tmp_path: Path, mode: int) -> None:
    write_key(tmp_path, b"canary", mode)
    assert warned(tmp_path, SOURCE % "{file: log.key}") == ""


@pytest.mark.parametrize(("mode", "remedy"), [(0o440, ""), (0o444, "give it the mode 0440"), (0o644, "0440")])
def test_a_mounted_secret_may_be_read_by_the_bridges_group_and_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, remedy: str
) -> None:
    write_key(tmp_path, b"canary", mode)
    monkeypatch.setattr("os.geteuid", lambda: (tmp_path / "log.key").stat().st_uid + 1)
    text = warned(tmp_path, SOURCE % "{file: log.key}")
    assert (bool(text), remedy in text) == (bool(remedy), True)


@pytest.mark.parametrize("keys", ["client_cert: log.key", "client_cert: log.key, client_key: log.key"])
def test_the_key_of_a_client_certificate_is_a_secret_too(tmp_path: Path, keys: str) -> None:
    write_key(tmp_path, b"canary", 0o644)
    place = f"instances.i.transport.{keys.split()[-2].rstrip(':')}: others can read"
    assert place in warned(tmp_path, TRANSPORT % keys)


def test_a_good_key_of_the_log_is_no_problem(tmp_path: Path) -> None:
    write_key(tmp_path, pem(Ed25519PrivateKey.generate()))
    assert told(tmp_path, LOG) == ""


def test_a_key_of_the_log_that_others_can_read_is_refused(tmp_path: Path) -> None:
    write_key(tmp_path, pem(Ed25519PrivateKey.generate()), 0o640)
    assert "others can read" in told(tmp_path, LOG)
    assert "chmod 600" in told(tmp_path, LOG)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [(b"nonsense", "is not a private key"), (pem(generate_private_key(SECP256R1())), "is not an Ed25519 key")],
)
def test_a_key_of_another_kind_is_refused(tmp_path: Path, raw: bytes, expected: str) -> None:
    write_key(tmp_path, raw)
    assert expected in told(tmp_path, LOG)


def test_a_missing_key_of_the_log_says_how_to_make_one(tmp_path: Path) -> None:
    assert "`bridge init DIR`" in told(tmp_path, LOG)


JWT = (
    "instances: {i: {url: 'https://x.example', auth: {scheme: oauth_jwt_bearer, client_id: c, key_id: k, user: u, "
    "private_key: {file: log.key}%s}}}"
)
TRANSPORT = "instances: {i: {url: 'https://x.example', auth: {scheme: api_key, key: {file: log.key}}, transport: {%s}}}"


def test_the_key_that_signs_for_servicenow_must_be_able_to(tmp_path: Path) -> None:
    write_key(tmp_path, pem(generate_private_key(SECP256R1())))
    assert told(tmp_path, JWT % "") == ""
    write_key(tmp_path, pem(Ed25519PrivateKey.generate()))
    assert "instances.i.auth.private_key: " in told(tmp_path, JWT % "")
    assert "log.key is neither an RSA key nor one on the curve P-256" in told(tmp_path, JWT % "")


def test_the_password_of_a_key_is_looked_at_too(tmp_path: Path) -> None:
    write_key(tmp_path, pem(generate_private_key(SECP256R1())))
    assert "has no password: remove `private_key_password`" in told(
        tmp_path, JWT % ", private_key_password: {file: bridge.yaml}"
    )
    assert "instances.i.auth.private_key_password: " in told(tmp_path, JWT % ", private_key_password: {file: absent}")


WRONG_FILES = {
    "no such authority": ("ca: absent", "instances.i.transport.ca: ", "cannot be read: No such file"),
    "no certificate": ("ca: log.key", "instances.i.transport.ca: ", "holds no certificate"),
    "no such client": ("client_cert: absent", "instances.i.transport.client_cert: ", "cannot be read: No such file"),
    "no client": ("client_cert: log.key", "instances.i.transport.client_cert: ", "and its key in the same file"),
    "no proxy": ("proxy: {file: absent}", "instances.i.transport.proxy: ", "cannot be read: No such file"),
    "no URL": ("proxy: {file: log.key}", "instances.i.transport.proxy: ", "is not the URL of a proxy"),
}  # fmt: skip


@pytest.mark.parametrize(
    "url",
    [
        "http://u:canary@127.0.0.1:18560/path",
        "http://u:canary 3@127.0.0.1:18560",
        "http://u:canary/3@127.0.0.1:18560",
        "http://u:12#canary@127.0.0.1:18560",
        "http://u:canary@127.0.0.1:18560?x",
        "http://u:canary@127.0.0.1:99999",
        "http://u:canary@127.0.0.1:0",
        "http://u:canary@proxy_.example:3128 ",
        "http://u:canary%E2%82%AC@127.0.0.1:18560",
    ],
)
def test_a_proxys_url_in_a_secret_is_checked_as_one_in_the_file_is(tmp_path: Path, url: str) -> None:
    write_key(tmp_path, url.encode())
    text = told(tmp_path, TRANSPORT % "proxy: {file: log.key}")
    assert "log.key is not the URL of a proxy" in text
    assert "canary" not in text


@pytest.mark.parametrize(
    "url", ["http://proxy.example:3128", "https://u:p%203%2F@127.0.0.1:18560/", "http://u:p@x@[::1]:3128"]
)
def test_a_good_proxys_url_in_a_secret_is_no_problem(tmp_path: Path, url: str) -> None:
    write_key(tmp_path, url.encode())
    assert told(tmp_path, TRANSPORT % "proxy: {file: log.key}") == ""


@pytest.mark.parametrize(("keys", "place", "expected"), WRONG_FILES.values(), ids=WRONG_FILES)
def test_the_files_of_a_transport_are_looked_at(tmp_path: Path, keys: str, place: str, expected: str) -> None:
    write_key(tmp_path, b"canary")
    text = told(tmp_path, TRANSPORT % keys)
    assert place in text
    assert expected in text
    assert "canary" not in text


def test_of_two_keys_of_the_log_the_wrong_one_is_named(tmp_path: Path) -> None:
    write_key(tmp_path, pem(Ed25519PrivateKey.generate()))
    text = told(tmp_path, "log: {signing_key: [{file: log.key}, {file: old.key}]}\n")
    assert f"1:38: log.signing_key.1: {tmp_path / 'old.key'} cannot be read: No such file or directory" in text
    assert "log.signing_key.0" not in text


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (None, "cannot be read: No such file or directory (give your authority's file)"),
        (b"x", "holds no certificate (PEM"),
    ],
)
def test_an_authority_of_an_anchor_must_be_there(tmp_path: Path, raw: bytes | None, expected: str) -> None:
    write_key(tmp_path, pem(Ed25519PrivateKey.generate()))
    if raw is not None:
        (tmp_path / "ca.pem").write_bytes(raw)
    anchors = "[{syslog: tcp://h, tls: true, ca: ca.pem}]"
    text = told(tmp_path, f"log: {{signing_key: {{file: log.key}}, anchors: {anchors}}}\n")
    assert f"log.anchors.0.ca: {tmp_path / 'ca.pem'} {expected}" in text
