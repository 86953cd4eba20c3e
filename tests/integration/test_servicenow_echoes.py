"""An answer that repeats a secret of its request: the secret is told to nobody."""

from __future__ import annotations

import base64
import time
from pathlib import Path

import pytest
from schemes_world import auth_of, put_secrets
from scripted_server import ScriptedServer, answer

from bridge.errors import BridgeError
from bridge.servicenow.client import Client
from bridge.servicenow.table import TableApi
from bridge.settings import Instance
from bridge.wiring import utc_now

BASIC = base64.b64encode(b"siem:s3cret").decode()


def refusal(folder: Path, scheme: str, *answers: bytes) -> str:
    steps = [answer(400, body, keep=True) for body in answers]
    with ScriptedServer(*steps) as server:
        instance = Instance(name="test", url=server.url, auth=auth_of(scheme, put_secrets(folder)))
        client = Client(instance, clock=utc_now, monotonic=time.monotonic)
        with pytest.raises(BridgeError) as caught:
            TableApi(client).find("incident", "x", deadline=time.monotonic() + 10)
        client.close()
    return caught.value.message


@pytest.mark.parametrize(
    ("scheme", "echo"),
    [
        ("basic", f"Basic {BASIC} is bad"),
        ("basic", "s3cret is bad"),
        ("api_key", "x-sn-apikey: k-1 is bad"),
    ],
)
def test_a_refusal_is_told_without_the_secret_that_it_repeats(tmp_path: Path, scheme: str, echo: str) -> None:
    told = refusal(tmp_path, scheme, b'{"error": {"message": "%s"}}' % echo.encode())
    assert "It said: " in told
    assert "*** is bad" in told


@pytest.mark.parametrize(
    ("scheme", "echo"),
    [
        ("oauth_client_credentials", "client_secret=c-secret"),
        ("oauth_password", "password=s3cret"),
    ],
)
def test_a_token_endpoints_refusal_is_told_without_it_too(tmp_path: Path, scheme: str, echo: str) -> None:
    body = b'{"error": "invalid_client", "error_description": "%s is bad"}' % echo.encode()
    name = echo.partition("=")[0]
    assert f"It said: invalid_client: {name}=*** is bad" in refusal(tmp_path, scheme, body)


def test_a_secret_is_hidden_as_it_stands_in_a_url_too(tmp_path: Path) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    auth = auth_of("oauth_client_credentials", put_secrets(folder))
    (folder / "client").write_text("c/s &")
    body = b'{"error": "invalid_client", "error_description": "c%2Fs%20%26 or c%2Fs+%26"}'
    with ScriptedServer(answer(400, body)) as server:
        client = Client(Instance(name="test", url=server.url, auth=auth), clock=utc_now, monotonic=time.monotonic)
        with pytest.raises(BridgeError) as caught:
            TableApi(client).find("incident", "x", deadline=time.monotonic() + 10)
        client.close()
    assert "It said: invalid_client: *** or ***" in caught.value.message
