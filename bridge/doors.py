"""The doors of a process: what it receives by, one for each source. They change with `sources` of bridge.yaml."""

from __future__ import annotations

from collections.abc import Callable

from bridge.errors import Misconfigured, Problem
from bridge.register import Register
from bridge.settings import Secret, Settings, Source
from bridge.settings.secrets import not_there
from bridge.sources.auth import verifier_for
from bridge.sources.auth.graph import ClientState
from bridge.sources.envelope import envelope_for
from bridge.sources.outside import Outside
from bridge.web.hooks import SourceDoor


class Doors:
    """Both registers change together, as good as at once: who comes in between is let in, or sends again."""

    def __init__(self, settings: Settings, outside: Outside) -> None:
        self._outside = outside
        self.sources: Register[Source] = Register(settings.sources)
        self.doors: Register[SourceDoor] = Register(doors_of(settings, outside))

    def opening(self, wanted: Settings) -> Callable[[], None]:
        """Builds the doors of these sources; what it returns opens them. Raises Misconfigured."""
        built = doors_of(wanted, self._outside)

        def open_doors() -> None:
            self.sources.swap(wanted.sources)
            self.doors.swap(built)

        return open_doors


def doors_of(settings: Settings, outside: Outside | None) -> dict[str, SourceDoor]:
    """None: to see whether they can be built. Raises Misconfigured, also for a secret that went away meanwhile."""
    return {source.name: _door(source, outside) for source in settings.sources.values()}


def _door(source: Source, outside: Outside | None) -> SourceDoor:
    secrets = tuple(_read(secret, source) for secret in source.auth.secrets)
    verifier = verifier_for(source.name, source.auth, secrets, outside)
    return SourceDoor(
        name=source.name,
        tenant=source.tenant,
        mapping=source.mapping,
        verifier=verifier,
        scheme=source.auth.scheme,
        envelope=envelope_for(source.envelope, source.auth),
        body_bytes_max=source.body_bytes_max,
        decoded_bytes_max=source.decoded_bytes_max,
        masked=verifier.masked if isinstance(verifier, ClientState) else None,
    )


def _read(secret: Secret, source: Source) -> bytes:
    try:
        return secret.read()
    except (KeyError, OSError) as error:
        wrong, remedy = not_there(secret, error)
        raise Misconfigured([Problem(f"source {source.name}", 0, 0, wrong, remedy)]) from error
