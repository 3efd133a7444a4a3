"""A secret under a redacted name is never kept, wherever it stands. Everything else is kept as it was."""

from __future__ import annotations

import json
import time
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.redaction import MOST_LEVELS, MOST_NAMES, MOST_PATHS, REDACTED, is_secret_name, parse_paths, redact

SECRET = "zq0secret0qz"

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
leaves = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    leaves | names, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=8
)
parts = st.sampled_from(["password", "passwd", "secret", "token", "authorization", "api-key", "apiKey", "Cookie"])


@st.composite
def secret_names(draw: st.DrawFn) -> str:
    """A name that has one of the parts in it, in some case, with something around it, perhaps in wide letters."""
    part = draw(parts)
    part = draw(st.sampled_from([part, part.upper(), part.title(), "".join(chr(ord(c) + 0xFEE0) for c in part)]))
    return draw(names) + part + draw(names)


@st.composite
def documents(draw: st.DrawFn, wrapped: st.SearchStrategy[dict[str, Any]]) -> Any:
    """What is `wrapped`, somewhere inside of objects, lists and texts that are JSON."""
    value: Any = draw(wrapped)
    for _ in range(draw(st.integers(0, 8))):
        match draw(st.sampled_from(["object", "list", "text"])):
            case "object":
                value = {**draw(st.dictionaries(names, values, max_size=2)), draw(names): value}
            case "list":
                value = [*draw(st.lists(values, max_size=2)), value]
            case "text":
                value = orjson.dumps(value).decode() if isinstance(value, dict | list) else value
    return value


holders = st.one_of(
    st.just(SECRET),
    st.just([SECRET]),
    st.dictionaries(names, st.just(SECRET), min_size=1, max_size=2),
)


@given(documents(st.builds(lambda name, value: {name: value}, secret_names(), holders)))
def test_secret_under_a_redacted_name_is_never_kept(document: Any) -> None:
    assert SECRET not in orjson.dumps(redact(document)).decode()


@given(
    documents(
        st.builds(lambda name, key: {key: name, "value": SECRET}, secret_names(), st.sampled_from(["name", "Key"]))
    )
)
def test_secret_beside_its_name_is_never_kept(document: Any) -> None:
    assert SECRET not in orjson.dumps(redact(document)).decode()


safe_names = names.filter(lambda name: name.strip() and "." not in name and name.strip() != "*")


@given(st.lists(safe_names, min_size=1, max_size=MOST_NAMES), st.data())
def test_value_at_an_administrators_path_is_never_kept(path: list[str], data: st.DataObject) -> None:
    value: Any = SECRET
    for name in reversed(path):
        value = {**data.draw(st.dictionaries(names, values, max_size=2)), name: value}
        if data.draw(st.booleans()):
            value = [value]
    lines = [".".join(data.draw(st.sampled_from([name, "*"])) if at else name for at, name in enumerate(path))]
    assert SECRET not in orjson.dumps(redact(value, parse_paths(lines))).decode()
    deeper = {"answer": [{"text": json.dumps(value)}]}
    assert SECRET not in orjson.dumps(redact(deeper, parse_paths(lines), anywhere=True)).decode()


@given(st.dictionaries(st.sampled_from(["repo", "title", "labels", "päth", "a\0b", "🙂"]), values))
def test_content_without_secrets_is_kept_as_it_was(document: dict[str, Any]) -> None:
    assert json.loads(orjson.dumps(redact(document))) == json.loads(orjson.dumps(document)) or _has_json_text(document)


def _has_json_text(value: Any) -> bool:
    """Tell whether a text or a name in this value could be taken for something else."""
    text = orjson.dumps(value).decode()
    return any(is_secret_name(word) for word in text.split('"')) or "{" in text[1:] or "[" in text


KEPT = ["repo", "title", "author", "cooking", "keyboard", "description", "pinned", "side", "monkey", "passage"]
LEFT_OUT = ["password", "Passwort-Token", "X-Api-Key", "accessToken", "client_secret", "Set-Cookie", "AUTH", "pin"]


@pytest.mark.parametrize("name", KEPT)
def test_name_that_is_no_secret_is_kept(name: str) -> None:
    assert redact({name: "x"}) == {name: "x"}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_name_of_a_secret_is_kept_and_its_value_is_not(name: str) -> None:
    assert redact({name: "x"}) == {name: REDACTED}


TEXTS = {
    "assignment": f"run with PASSWORD={SECRET} please",
    "quoted": f'set "password": "{SECRET} and more"',
    "escaped": f'{{broken \\"api_key\\": \\"{SECRET}\\"',
    "header": f"Authorization: Bearer {SECRET}",
    "bearer alone": f"say Bearer {SECRET}",
    "query": f"https://example.test/?access_token={SECRET}&page=2",
    "address": f"postgres://alice:{SECRET}@db.test/x",
    "private key": f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----",
    "JWT": f"eyJhbGciOiJub25lIn0.{SECRET}.{SECRET}",
}


@pytest.mark.parametrize("name", TEXTS)
def test_secret_in_running_text_is_not_kept(name: str) -> None:
    kept = redact({"body": TEXTS[name]})["body"]
    assert SECRET not in kept
    assert REDACTED in kept


def test_text_of_json_stays_text_of_json() -> None:
    kept = redact({"body": '{"user": "alice", "token": "x"}'})
    assert json.loads(kept["body"]) == {"user": "alice", "token": REDACTED}


def test_value_nested_deeper_than_can_be_looked_at_is_not_kept() -> None:
    value: Any = SECRET
    for _ in range(MOST_LEVELS * 4):
        value = [value]
    assert SECRET not in repr(redact(value))


LONG = {
    "names": "token" * 13_000,
    "assignments": "token=" * 10_000,
    "quotes": 'token="' * 9_000,
    "addresses": "://a:" * 13_000,
    "one word": "eyJ" + "a" * 60_000,
    "braces": "{" * 60_000,
}


@pytest.mark.parametrize("name", LONG)
def test_text_made_to_take_long_does_not(name: str) -> None:
    began = time.process_time()
    redact({"body": LONG[name]})
    assert time.process_time() - began < 1


@pytest.mark.parametrize("line", ["", ".", "a..b", "*", "*.*", ".".join("a" * (MOST_NAMES + 1))])
def test_path_that_means_nothing_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"^[A-Z].*\.$"):
        parse_paths([line])


def test_too_many_paths_are_refused() -> None:
    with pytest.raises(ValueError, match=str(MOST_PATHS)):
        parse_paths(f"a{number}" for number in range(MOST_PATHS + 1))
