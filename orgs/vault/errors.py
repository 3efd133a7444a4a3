from __future__ import annotations


class VaultError(Exception):
    """A secret could not be sealed or opened. The text never holds key material or plaintext."""
