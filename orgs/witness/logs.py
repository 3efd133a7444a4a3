"""The logs that this installation witnesses: the operator lists their keys in a file, one verifier key a line."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from audit.notes import NoteError, VerifierKey, parse_key


def read_trusted_logs() -> Mapping[str, Sequence[VerifierKey]]:
    """Return the keys by the origin that they sign for, as they are in the file now. Raises ImproperlyConfigured.

    A key's name is its log's origin. Empty lines and those that begin with # are passed over.
    """
    keys: dict[str, list[VerifierKey]] = defaultdict(list)
    for line in _read_lines():
        try:
            key = parse_key(line)
        except NoteError as error:
            raise ImproperlyConfigured(f"KONTEXT_WITNESS_LOGS: {error}") from None
        keys[key.name].append(key)
    return dict(keys)


def _read_lines() -> list[str]:
    if not settings.WITNESS_LOGS:
        return []
    try:
        lines = Path(settings.WITNESS_LOGS).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ImproperlyConfigured(f"KONTEXT_WITNESS_LOGS can't be read: {error}") from None
    return [line for line in lines if line.strip() and not line.startswith("#")]
