"""What a verifier or a handshake needs from the network, as far as the pure core knows it."""

from __future__ import annotations

from typing import Protocol


class Outside(Protocol):
    """Both return within a few seconds, and raise Rejected(503) where the other side could not be asked: the sender
    shall try again, for nothing is known of its message.
    """

    def document(self, url: str, *, again: bool = False) -> bytes | None:
        """What stands at `url`, kept between calls; None: nothing does. `again`: what was given does not serve."""

    def visit(self, url: str) -> bool:
        """One GET, for what it does there. False: it was refused."""
