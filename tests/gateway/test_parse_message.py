"""What two parsers could read differently is refused, with an error that says what and costs little."""

from __future__ import annotations

import json
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import MalformedMessageError
from gateway.mcp.messages import MAX_DEPTH, _parse_plain, _parse_strictly, parse_message


def call(arguments: str) -> bytes:
    return b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":%b}}' % arguments.encode()


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        (b"", -32700, "not valid JSON"),
        (b"{", -32700, "not valid JSON"),
        (b"\xff\xfe{}", -32700, "not valid UTF-8"),
        (b"\xef\xbb\xbf{}", -32700, "not valid JSON"),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping"} x', -32700, "not valid JSON"),
        (b'{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}', -32700, "same name twice"),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}', -32700, "differ only in case"),
        (call('{"repo":"acme/frontend","repo":"acme/backend"}'), -32700, "same name twice"),
        (call('{"repo":"acme/frontend","Repo":"acme/backend"}'), -32700, "differ only in case"),
        (call('{"disk":1,"di\u017fk":2}'), -32700, "differ only in case"),
        (call('{"repo":"\\ud800"}'), -32700, "not valid JSON"),
        (call('{"n":1e400}'), -32700, "too large"),
        (call('{"n":18446744073709551616}'), -32700, "more than 64 bits"),
        (call('{"n":' + "9" * 10_000 + "}"), -32700, "more than 64 bits"),
        (call('{"n":NaN}'), -32700, "NaN"),
        (call('{"n":-Infinity}'), -32700, "Infinity"),
        (call('{"a":' * MAX_DEPTH + "1" + "}" * MAX_DEPTH), -32700, "levels deep"),
        (b"[" * 100_000 + b"]" * 100_000, -32700, "levels deep"),
        (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', -32600, "batches"),
        (b"3", -32600, "one JSON-RPC object"),
        (b'{"id":1,"method":"ping"}', -32600, "one JSON-RPC object"),
        (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600, "string or an integer"),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}', -32600, "string or an integer"),
        (b'{"jsonrpc":"2.0","id":true,"method":"ping"}', -32600, "string or an integer"),
        (b'{"jsonrpc":"2.0","id":1,"method":7}', -32600, "method must be a string"),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}', -32600, "params an object"),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}', -32600, "neither result nor error"),
        (b'{"jsonrpc":"2.0","id":1}', -32600, "either a method"),
        (b'{"jsonrpc":"2.0","id":1,"result":{},"error":{}}', -32600, "either a method"),
    ],
)
def test_parse_malformed_message_names_the_fault(body: bytes, code: int, says: str) -> None:
    with pytest.raises(MalformedMessageError, match=says) as failure:
        parse_message(body)
    assert failure.value.rpc_code == code
    assert failure.value.status == 400


def test_parse_nested_body_of_full_size_takes_little_time() -> None:
    started = time.perf_counter()
    with pytest.raises(MalformedMessageError):
        parse_message(b"[" * (4 * 1024 * 1024))
    assert time.perf_counter() - started < 2


def test_parse_keeps_the_bytes_and_every_member() -> None:
    body = b'{"jsonrpc":"2.0", "id":"a", "method":"tools/call", "params":{"name":"t","x":[1.50]},"extra":{"y":null}}'
    message = parse_message(body)
    assert (message.raw, message.id, message.method) == (body, "a", "tools/call")
    assert message.document["extra"] == {"y": None}


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"jsonrpc":"2.0","id":0,"method":"ping"}', "is_request"),
        (b'{"jsonrpc":"2.0","method":"notifications/initialized"}', "is_notification"),
    ],
)
def test_parse_tells_requests_from_notifications(body: bytes, kind: str) -> None:
    message = parse_message(body)
    assert [name for name in ("is_request", "is_notification") if getattr(message, name)] == [kind]


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.sampled_from("abcde"), children, max_size=4),
    max_leaves=20,
)


@given(arguments=st.dictionaries(st.sampled_from(["repo", "title", "n"]), _json))
def test_parse_any_plain_arguments_gives_them_back(arguments: dict[str, object]) -> None:
    assert parse_message(call(json.dumps(arguments))).params["arguments"] == arguments


@given(body=st.binary(max_size=200))
def test_parse_any_bytes_gives_a_message_or_our_error(body: bytes) -> None:
    with suppress(MalformedMessageError):
        parse_message(body)


NAMES = ["a", "A", "b", "\u017f", "s", "ß", "ẞ", "ss", "\u0130", 'x":', "k\\", ""]
SPACES = st.sampled_from(["", "", "", " ", "\n", "\t "])
SCALARS = st.sampled_from(["1", "-0", "0.5", "1e3", "true", "null", "18446744073709551615", "18446744073709551616"])
TEXTS = st.sampled_from([*NAMES, '":', '" :', "é", "\ud800", "\0"]).map(json.dumps)


def objects(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Objects as text: with names twice or in two cases, and with space wherever JSON lets it be."""
    names = st.sampled_from(
        [json.dumps(name) for name in NAMES] + [json.dumps(name, ensure_ascii=False) for name in NAMES] + ['"\\u0061"']
    )
    members = st.builds(lambda *parts: "".join(parts), SPACES, names, SPACES, st.just(":"), SPACES, values, SPACES)
    return st.lists(members, max_size=3).map(lambda given: "{" + ",".join(given) + "}")


DOCUMENTS = objects(
    st.recursive(
        SCALARS | TEXTS,
        lambda inner: objects(inner) | st.lists(inner, max_size=3).map(lambda items: "[" + ",".join(items) + "]"),
        max_leaves=6,
    )
)


@given(DOCUMENTS)
def test_parse_plain_reads_only_what_the_strict_reader_reads_the_same(text: str) -> None:
    body = text.encode()
    plain = _parse_plain(body)
    if plain is not None:
        assert repr(plain) == repr(_parse_strictly(body))


def test_parse_plain_is_for_compact_bodies() -> None:
    for arguments in ({"repo": "acme/frontend", "labels": ["bug", {"n": 1}]}, {"text": "Grüße, ẞ"}, {"share": 0.5}):
        body = json.dumps({"jsonrpc": "2.0", "params": arguments}, separators=(",", ":"), ensure_ascii=False).encode()
        assert _parse_plain(body) == {"jsonrpc": "2.0", "params": arguments}
