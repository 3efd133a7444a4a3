"""What this floor keeps sealed, each secret bound to the row and the purpose it belongs to."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from connections.models import ConnectSession, Credential, OAuthClient, Revocation
from connections.oauth.clients import Client
from orgs.vault import decrypt, encrypt

Document = dict[str, Any]


def digest_secret(secret: str) -> str:
    """Return what is kept of a random secret that only has to be recognized: it can't be guessed back."""
    return hashlib.sha256(secret.encode()).hexdigest()


def seal_credential(credential: Credential, document: Document) -> None:
    """Put the secret in; its connection and generation must be set."""
    credential.ciphertext = _seal(credential, document, credential.associated_data)


def open_credential(credential: Credential) -> Document:
    """Raises VaultError when the ciphertext was changed, or belongs to another row or generation."""
    return _open(credential, credential.ciphertext, credential.associated_data)


def seal_client_secret(client: OAuthClient, secret: str) -> None:
    """Put the client secret in; integration, issuer and client ID must be set: it opens for these alone."""
    client.client_secret = _seal(client, {"client_secret": secret}, _bind_client(client)) if secret else b""


def open_client(client: OAuthClient) -> Client:
    """Return who we are at the authorization server now."""
    secret = ""
    if client.client_secret:
        secret = str(_open(client, client.client_secret, _bind_client(client))["client_secret"])
    return Client(client.client_id, secret, client.token_endpoint_auth_method)


def seal_code_verifier(session: ConnectSession, verifier: str) -> bytes:
    return _seal(session, {"code_verifier": verifier}, _bind_session(session, "verifier"))


def open_code_verifier(session: ConnectSession) -> str:
    return str(_open(session, session.code_verifier, _bind_session(session, "verifier"))["code_verifier"])


def seal_held_credential(session: ConnectSession, document: Document) -> bytes:
    return _seal(session, document, _bind_session(session, "held"))


def open_held_credential(session: ConnectSession) -> Document:
    return _open(session, session.held_credential, _bind_session(session, "held"))


def seal_errand(revocation: Revocation, document: Document) -> None:
    revocation.errand = _seal(revocation, document, f"revocation:{revocation.pk}".encode())


def open_errand(revocation: Revocation) -> Document:
    return _open(revocation, revocation.errand, f"revocation:{revocation.pk}".encode())


def _bind_client(client: OAuthClient) -> bytes:
    # With the issuer: a secret must not be sent to another authorization server than the one that gave it.
    return f"oauth-client:{client.integration_id}:{client.issuer}:{client.client_id}".encode()


def _bind_session(session: ConnectSession, purpose: str) -> bytes:
    return f"connect-session:{purpose}:{session.pk}:{session.user_id}".encode()


def _seal(row: Any, document: Document, binding: bytes) -> bytes:
    return encrypt(row.organization_id, json.dumps(document).encode(), associated_data=binding)


def _open(row: Any, ciphertext: bytes | memoryview, binding: bytes) -> Document:
    document: Document = json.loads(decrypt(row.organization_id, bytes(ciphertext), associated_data=binding))
    return document
