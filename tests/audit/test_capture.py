"""Each level keeps what it says and no more."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.capture import MOST_BYTES, MOST_LISTED, Capture, Content, Level, capture_answer, capture_arguments
from audit.redaction import REDACTED, parse_paths

FULL, SUMMARY = Capture(Level.FULL), Capture(Level.SUMMARY)
SECRET = "zq0secret0qz"


def read(content: Content) -> Any:
    return json.loads(content.data)


def test_full_keeps_arguments_without_secrets_and_named_paths() -> None:
    capture = Capture(Level.FULL, parse_paths(["customer.iban"]))
    content = capture_arguments(
        capture, {"repo": "acme/frontend", "token": "x", "customer": {"iban": "DE00", "name": "Ada"}, "n": 1}
    )
    assert (content.level, content.is_cut) == (Level.FULL, False)
    customer = {"iban": REDACTED, "name": "Ada"}
    assert read(content) == {"arguments": {"repo": "acme/frontend", "token": REDACTED, "customer": customer, "n": 1}}


def test_full_keeps_an_answer_without_what_was_left_out_of_the_arguments() -> None:
    capture = Capture(Level.FULL, parse_paths(["customer.iban"]))
    text = json.dumps({"made": [{"customer": {"iban": "DE00"}}]})
    content = capture_answer(capture, {"result": {"content": [{"type": "text", "text": text}]}})
    assert b"DE00" not in content.data
    assert b"made" in content.data


def test_summary_keeps_names_types_and_sizes_of_arguments() -> None:
    content = capture_arguments(SUMMARY, {"repo": "acme", "n": 1, "ok": True, "l": [1, 2], "o": {"a": 1}, "z": None})
    assert content.level == Level.SUMMARY
    assert read(content) == {
        "arguments": {
            "repo": {"type": "string", "size": 4},
            "n": {"type": "number"},
            "ok": {"type": "boolean"},
            "l": {"type": "array", "size": 2},
            "o": {"type": "object", "size": 1},
            "z": {"type": "null"},
        },
        "size": 62,
    }


def test_summary_keeps_content_types_and_sizes_of_a_result() -> None:
    blocks = [{"type": "text", "text": SECRET}, {"type": SECRET}, SECRET]
    content = capture_answer(
        SUMMARY, {"result": {"content": blocks, "isError": True, "structuredContent": {"a": SECRET}}}
    )
    kept = read(content)["result"]
    assert [block["type"] for block in kept["content"]] == ["text", "other", "other"]
    assert (kept["isError"], kept["structuredContent"]) == (True, {"type": "object", "size": 1})
    assert SECRET not in content.data.decode()


def test_summary_keeps_the_code_of_an_error() -> None:
    content = capture_answer(SUMMARY, {"result": None, "error": {"code": -32000, "message": SECRET, "data": SECRET}})
    assert read(content)["error"]["code"] == -32000
    assert SECRET not in content.data.decode()


planted = st.recursive(
    st.just(SECRET) | st.integers(-(2**53), 2**53),
    lambda inner: st.lists(inner) | st.dictionaries(st.just(SECRET), inner),
)


@given(st.dictionaries(st.sampled_from(["content", "isError", "type", "messages", "repo", "code"]), planted))
def test_summary_never_keeps_a_value(document: dict[str, Any]) -> None:
    for content in (
        capture_arguments(SUMMARY, document),
        capture_answer(SUMMARY, {"result": document}),
        capture_answer(SUMMARY, {"error": document}),
    ):
        assert SECRET not in content.data.decode()


@pytest.mark.parametrize("excess", [0, 1])
def test_content_above_the_limit_is_cut_to_its_summary(excess: int) -> None:
    frame = len(orjson.dumps({"body": ""}))
    content = capture_arguments(FULL, {"body": "x" * (MOST_BYTES - frame + excess)})
    assert content.is_cut is bool(excess)
    assert (content.level is Level.SUMMARY) is bool(excess)
    assert len(content.data) <= MOST_BYTES + 20


def test_summary_of_very_many_arguments_is_bounded() -> None:
    content = capture_arguments(SUMMARY, {f"{number}{'x' * 999}": 1 for number in range(5_000)})
    assert len(read(content)["arguments"]) == MOST_LISTED + 1
    assert len(content.data) < MOST_BYTES


def test_content_is_not_in_its_repr() -> None:
    assert SECRET not in repr(capture_arguments(FULL, {"repo": SECRET}))


@pytest.mark.parametrize("text", ["a\0b", "🙂", "\u202e", "\ufeff", "\uff46"])
def test_odd_text_is_kept_as_it_came(text: str) -> None:
    assert read(capture_arguments(FULL, {text: text})) == {"arguments": {text: text}}
