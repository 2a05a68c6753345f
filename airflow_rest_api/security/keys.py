"""Keys: everything that this service signs or hashes with, derived from one secret of the administrator's.

The keys are never equal to Airflow's `[api_auth] jwt_secret`: with one key for both, Airflow takes a refresh token
of thirty days for a session of its own, because it does not look at a token's type.
"""

from __future__ import annotations

import hashlib
import hmac

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from airflow_rest_api.services.configuration import option
from airflow_rest_api.settings import Settings


class SecretMissing(Exception):
    """There is no key to sign tokens with."""

    def __init__(self) -> None:
        super().__init__(
            "[api_auth] jwt_secret is not set: without it every process signs with a key of its own;"
            " set it, or [rest_api] jwt_secret"
        )


class Keys:
    """The keys of one installation, the same on every replica."""

    def __init__(self, settings: Settings) -> None:
        """Take the secret from `[rest_api] jwt_secret`, or Airflow's; raises `SecretMissing`."""
        secret = settings.jwt_secret or option("api_auth", "jwt_secret")
        if not secret:
            raise SecretMissing
        self._secret = secret.encode()

    def derived(self, purpose: str) -> bytes:
        """Return the key of 32 bytes for one purpose (HKDF, RFC 5869)."""
        kdf = HKDF(algorithm=hashes.SHA256(), length=32, salt=b"airflow-rest-api", info=purpose.encode())
        return kdf.derive(self._secret)


def keyed_hash(key: bytes, text: str) -> str:
    """Return the HMAC-SHA-256 of a text in hex: the same for the same text, and nothing to guess the text by."""
    return hmac.digest(key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hex()
