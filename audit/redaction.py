"""Take out of a call's content what looks like a secret, or what an administrator said is one. Pure, no Django.

Found by name, at any depth: members of objects, pairs such as {"name": "Authorization", "value": …}, JSON that stands
in a text, and `password=…` in running text. What only its meaning gives away can't be found like this.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import orjson

REDACTED = "[redacted]"
# Deeper than anything that a client may send; an integration could.
MOST_LEVELS = 64
MOST_PATHS = 100
MOST_NAMES = 16

# In a name, whatever is around them, in whatever case, with or without hyphens.
_PARTS = (
    *("password", "passwd", "passphrase", "passcode", "pwd", "secret", "token", "bearer"),
    *("authorization", "authentication", "credential", "cookie", "apikey", "accesskey", "privatekey", "signingkey"),
)
# As a whole name: in others they would be found too often.
_WHOLE = frozenset({"auth", "cvc", "cvv", "jwt", "otp", "pin", "sid", "ssn"})
_NAMES_OF_NAMES = frozenset({"name", "key", "header", "field", "parameter"})
_NAMES_OF_VALUES = frozenset({"value", "values", "content", "default"})

# Every repetition is bounded, so that no text takes longer than in proportion to its length.
_IN_TEXT = re.compile(
    r"""((?:password|passwd|passphrase|passcode|secret|token|authorization|credential|cookie|(?:api|access|private)[_-]?key)
    [\w.-]{0,64}[\\"']{0,4}\s{0,8}[:=]\s{0,8})
    (?:\\?"[^"\n]*"|'[^'\n]*'|(?:(?:bearer|basic|token)\s{1,8})?[^\s&,;]+)""",
    re.IGNORECASE | re.VERBOSE,
)
# What to look for in running text, with a word of which one must be in it: finding that takes a hundredth of the time.
_IN_TEXTS: tuple[tuple[tuple[str, ...], re.Pattern[str], str], ...] = (
    (
        ("pass", "secret", "token", "authorization", "credential", "cookie", "key"),
        _IN_TEXT,
        rf"\1{REDACTED}",
    ),
    (
        ("bearer", "basic"),
        re.compile(r"\b(bearer|basic)\s{1,8}[\w.~+/=-]{8,}", re.IGNORECASE),
        rf"\1 {REDACTED}",
    ),
    (("eyj",), re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"), REDACTED),
    (
        ("private key",),
        re.compile(r"-----BEGIN [A-Z ]{0,32}PRIVATE KEY-----[^-]*(?:-----END [A-Z ]{0,32}PRIVATE KEY-----)?"),
        REDACTED,
    ),
    (("://",), re.compile(r"(://[^\s/:@]{0,256}:)[^\s/@]{1,256}@"), rf"\1{REDACTED}@"),
)

# The names on the way to what is left out. "*" is any one name; lists count for nothing.
Path = tuple[str, ...]


def parse_paths(lines: Iterable[str]) -> tuple[Path, ...]:
    """Read paths such as `customer.iban` and `headers.*`. Raises ValueError with a sentence for people."""
    paths = tuple(dict.fromkeys(tuple(map(_fold, line.split("."))) for line in lines))
    if len(paths) > MOST_PATHS:
        raise ValueError(f"There can be {MOST_PATHS} paths at most.")
    for path in paths:
        if not all(path) or len(path) > MOST_NAMES:
            raise ValueError(f"A path is up to {MOST_NAMES} names joined by dots, such as customer.iban.")
        if set(path) == {"*"}:
            raise ValueError("A path of stars alone would leave out everything: keep a summary instead.")
    return paths


def redact(value: Any, paths: Sequence[Path] = (), *, anywhere: bool = False) -> Any:
    """Return a JSON value without its secrets. With `anywhere` the paths may begin at any depth, not only at the top.

    Names are compared as people read them: without case, and wide letters for what they stand for.
    """
    return _redact(value, tuple(paths), tuple(paths) if anywhere else (), 0)


def _redact(value: Any, paths: tuple[Path, ...], anywhere: tuple[Path, ...], depth: int) -> Any:
    if depth > MOST_LEVELS:
        return REDACTED
    if isinstance(value, dict):
        return _redact_members(value, paths, anywhere, depth)
    if isinstance(value, list):
        return [_redact(item, paths, anywhere, depth + 1) for item in value]
    return _redact_text(value, paths, anywhere, depth) if isinstance(value, str) else value


def _redact_members(
    members: dict[str, Any], paths: tuple[Path, ...], anywhere: tuple[Path, ...], depth: int
) -> dict[str, Any]:
    is_named = any(_fold(name) in _NAMES_OF_NAMES and _is_secret_text(value) for name, value in members.items())
    kept = {}
    for name, value in members.items():
        folded = _fold(name)
        below = tuple(path[1:] for path in paths if path[0] in (folded, "*"))
        if is_secret_name(name) or () in below or (is_named and folded in _NAMES_OF_VALUES):
            kept[name] = REDACTED
        else:
            kept[name] = _redact(value, below + anywhere, anywhere, depth + 1)
    return kept


def _redact_text(text: str, paths: tuple[Path, ...], anywhere: tuple[Path, ...], depth: int) -> str:
    if text.lstrip()[:1] in ("{", "["):
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError:
            pass  # looks like it, and is not
        else:
            return orjson.dumps(_redact(value, paths, anywhere, depth + 1)).decode()
    folded = text.casefold()
    for words, pattern, replacement in _IN_TEXTS:
        if any(word in folded for word in words):
            text = pattern.sub(replacement, text)
    return text


@lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    bare = "".join(filter(str.isalnum, _fold(name)))
    return bare in _WHOLE or any(part in bare for part in _PARTS)


def _is_secret_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 256 and is_secret_name(value)


@lru_cache(maxsize=4096)
def _fold(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold().strip()
