"""Who signs the log's checkpoints: the keys that bridge.yaml names, in the name of this installation."""

from __future__ import annotations

from bridge.errors import Permanent
from bridge.log.note import Signer
from bridge.settings import Settings
from bridge.store.engine import Store
from bridge.store.start import installation_id

ORIGIN = "incident-bridge/"


def signers_of(settings: Settings, store: Store) -> list[Signer]:
    """Raises Permanent when a key cannot be read, or is not one of Ed25519."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    keys = []
    for path in settings.signing_keys:
        try:
            key = load_pem_private_key(path.read_bytes(), None)
        except OSError as error:
            raise Permanent("no_signing_key", f"{path} cannot be read: {error.strerror}") from error
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise Permanent("no_signing_key", f"{path} is no private key in PEM without a password") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise Permanent("no_signing_key", f"{path} is no key of Ed25519")
        keys.append(key)
    with store.transaction() as tx:
        origin = ORIGIN + installation_id(tx, store.now(tx))
    return [Signer(origin, key) for key in keys]
