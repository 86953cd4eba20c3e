"""`bridge sources test`: a sample posted to the bridge that runs, signed as the product would, and what it became."""

from __future__ import annotations

import time
import uuid
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import click

from bridge.cli.init_files import SERVE_URL
from bridge.cli.options import config_option, example, json_option

if TYPE_CHECKING:
    import requests

    from bridge.mapping.compile import Mapping
    from bridge.settings import Settings, Source
    from bridge.sources.signing import Proof

ANSWER_SECONDS = 15.0
TRIES_AFTER_401 = 3  # a second apart
FORM = "application/x-www-form-urlencoded"


@click.command(epilog=example("bridge sources test github", "bridge sources test github --url http://127.0.0.1:9000"))
@click.argument("name")
@click.option("--url", default=SERVE_URL, show_default=True, metavar="URL", help="Where the bridge listens.")
@click.option("--yes", is_flag=True, help="Also where it opens an incident on a production instance.")
@config_option
@json_option("One object")
def test(name: str, url: str, config: Path, *, yes: bool, as_json: bool) -> None:
    """Post a sample to the bridge that runs.

    The first of the source's mapping, signed as the source's sender would sign.

    It is an alert like any other: where the target is in mode write, an incident is opened. Content that was posted
    within ten minutes is a duplicate, and changes nothing.

    Exits 1 when the bridge does not take it, or does not answer.
    """
    from bridge.cli.opening import opened
    from bridge.cli.output import show_json
    from bridge.cli.sources_watch import ALERTS_SHOWN, as_object, show, wait_until_settled
    from bridge.mapping.load import load_mappings
    from bridge.settings.load import load
    from bridge.store.arrivals import delivery

    settings = load(config)
    source = _source(settings, name)
    mapping = load_mappings(settings.mappings_path, [source.mapping])[source.mapping]
    _ask(settings, mapping, yes=yes)
    sample, body = _sample(settings, mapping)
    told = _post(f"{url.rstrip('/')}/hooks/{name}", source, body, settings)
    if not as_json:
        click.echo(f"Posted {sample}: 200.")
    with opened(config) as (_, store):
        with store.reading() as tx:
            arrival = delivery(tx, int(told["delivery"]), limit=ALERTS_SHOWN)
        if arrival is None:
            raise click.UsageError(f"{url} is a bridge with another database than {config} names: see --url, --config")
        became = wait_until_settled(store, arrival, source.tenant)
    if as_json:
        show_json({"sample": sample, "duplicate": told["duplicate"], **as_object(arrival, became)})
        return
    if told["duplicate"]:
        click.echo("The same was posted within ten minutes: it counts once. What it became then:")
    show(arrival, became)


def _source(settings: Settings, name: str) -> Source:
    from bridge.mapping.language import nearest

    if name not in settings.sources:
        known = nearest(name, list(settings.sources)) or "bridge.yaml has none yet"
        raise click.UsageError(f"there is no source {name} in {settings.file}: {known}")
    return settings.sources[name]


def _ask(settings: Settings, mapping: Mapping, *, yes: bool) -> None:
    """Before an incident is opened where people work."""
    from bridge.settings import Environment, Mode

    targets = [settings.targets[target] for target in sorted(mapping.targets) if target in settings.targets]
    real = [
        target.name
        for target in targets
        if target.mode is Mode.WRITE
        and settings.instances[target.instance].environment is Environment.PRODUCTION
        and not _is_here(settings.instances[target.instance].url)
    ]
    if real and not yes:
        click.confirm(f"This may open an incident at {', '.join(real)}, a production instance. Go on?", abort=True)


def _is_here(url: str) -> bool:
    """The simulator, which says nothing of its environment."""
    from bridge.settings.instance import is_loopback

    return is_loopback(urlsplit(url).hostname or "")


def _sample(settings: Settings, mapping: Mapping) -> tuple[str, bytes]:
    """(its path, the first sample that a test of the mapping names). Raises UsageError."""
    if not mapping.tests:
        raise click.UsageError(f"the mapping {mapping.name} has no test, and so no sample to post")
    sample = str(mapping.tests[0]["alert"])
    path = settings.mappings_path / sample
    try:
        return sample, path.read_bytes()
    except OSError as error:
        raise click.UsageError(f"{path} cannot be read: {error.strerror}") from error


def _post(url: str, source: Source, body: bytes, settings: Settings) -> dict[str, Any]:
    """The answer's document. Raises Permanent: nobody answers, or what answers does not take it."""
    import requests

    from bridge.errors import Permanent

    form = source.envelope == "form"
    sent = urlencode({"payload": body.decode()}).encode() if form else body
    message_id = f"bridge-test-{uuid.uuid4()}"
    proof = _proof(source, sent, message_id, settings)
    headers = {"Content-Type": FORM if form else "application/json", **_ids(source, message_id), **proof.headers}
    whole = url + (f"?{proof.query}" if proof.query else "")
    try:
        answer = _asked(whole, sent, headers)
        for _ in range(TRIES_AFTER_401):
            if answer.status_code != HTTPStatus.UNAUTHORIZED:
                break
            time.sleep(1)  # a source that was just added is yet to be taken
            answer = _asked(whole, sent, headers)
    except requests.ConnectionError as error:
        raise Permanent(
            "not_running", f"no bridge answers at {url}: start `bridge serve`, or say with --url where it listens"
        ) from error
    except requests.RequestException as error:
        raise Permanent("no_answer", f"{url} gave no answer: {type(error).__name__}") from error
    return _taken(answer, url, source)


def _asked(url: str, body: bytes, headers: dict[str, str]) -> requests.Response:
    import requests

    with requests.Session() as http:
        http.trust_env = False
        encoded = {name: value.encode("latin-1") for name, value in headers.items()}
        return http.post(url, data=body, headers=encoded, timeout=ANSWER_SECONDS, allow_redirects=False)


def _taken(answer: requests.Response, url: str, source: Source) -> dict[str, Any]:
    from bridge.errors import Permanent

    if answer.status_code == HTTPStatus.UNAUTHORIZED:
        why = _kept_out(url.partition("/hooks/")[0])
        raise Permanent(
            "refused",
            f"the bridge at {url} refuses it (401): "
            + (why or f"it has another secret of {source.name} than this bridge.yaml names, or another bridge.yaml"),
        )
    told = _document(answer)
    delivery = told.get("delivery")
    numbered = isinstance(delivery, str) and delivery.isascii() and delivery.isdigit() and "duplicate" in told
    if answer.status_code != HTTPStatus.OK or not numbered:
        said = told.get("message", "what answers is no bridge")
        raise Permanent("not_taken", f"{url} answered {answer.status_code}: {said}")
    return told


def _kept_out(base: str) -> str:
    """What keeps a change of bridge.yaml, or of a mapping, out of use; "" when nothing does, or nothing is told."""
    import requests

    try:
        with requests.Session() as http:
            http.trust_env = False
            problems = _document(http.get(f"{base}/readyz", timeout=ANSWER_SECONDS)).get("problems", [])
    except requests.RequestException:
        return ""
    return "; ".join(one["problem"] for one in problems if one.get("name") == "mappings")


def _document(answer: requests.Response) -> dict[str, Any]:
    """Its JSON object; an empty one where it is none."""
    try:
        told = answer.json()
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _proof(source: Source, body: bytes, message_id: str, settings: Settings) -> Proof:
    from bridge.errors import Misconfigured, Permanent, Problem
    from bridge.sources.signing import CannotSign, Message, proof_of
    from bridge.wiring import utc_now

    secret = b""
    if source.auth.secrets:
        newest = source.auth.secrets[0]
        try:
            secret = newest.read()
        except KeyError as error:
            message = f"the environment variable {newest.name}, the secret of {source.name}, is not set here"
            raise Misconfigured([Problem(str(settings.file), 0, 0, message, f"export {newest.name}=…")]) from error
        except OSError as error:
            message = f"the secret of {source.name}, {newest.name}, cannot be read: {error.strerror}"
            hint = "run this as the bridge's user"
            raise Misconfigured([Problem(str(settings.file), 0, 0, message, hint)]) from error
        if not secret.strip():
            message = f"the secret of {source.name}, {newest.name}, is empty"
            raise Misconfigured([Problem(str(settings.file), 0, 0, message, "write the product's secret into it")])
    try:
        return proof_of(source.auth, Message(body=body, secret=secret, message_id=message_id, now=utc_now()))
    except CannotSign as error:
        raise Permanent("cannot_sign", f"a sample cannot be posted to {source.name}: {error}") from error


def _ids(source: Source, message_id: str) -> dict[str, str]:
    """A delivery id, where the envelope looks for one in a header."""
    names = {"github": "X-GitHub-Delivery", "gitlab": "Idempotency-Key", "snyk": "X-Snyk-Transport-ID"}
    envelope = source.envelope or source.auth.preset or ""
    return {names[envelope]: message_id} if envelope in names else {}
