"""Whatever is sent to whatever is offered, the answer is one that the OpenAPI document promises, and never a fault."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orgs.api.schema import get_schema_document
from tests.api.conftest import Api, make_api
from tests.factories import Cast, make_approval, make_connection, make_rule, make_rule_request

DOCUMENT = json.loads(get_schema_document())
# Others' servers are asked there.
REACHING_OUT = ("/validate", "/connection")
OPERATIONS = [
    (method, path, operation)
    for path, operations in sorted(DOCUMENT["paths"].items())
    for method, operation in sorted(operations.items())
    if not path.endswith(REACHING_OUT)
]
TEXTS = st.text(max_size=40) | st.sampled_from(["", " ", "\0", "\ud800", "*", "../", "1e999", "null", "x" * 10_000])
JUNK: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.django_db
@settings(
    max_examples=250,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data())
def test_send_anything_is_answered_as_documented(cast: Cast, client_of_carol: Api, data: st.DataObject) -> None:
    with transaction.atomic():
        _send(cast, client_of_carol, data)
        # Each example begins with the same rows, so that hypothesis can repeat and shrink what it found.
        transaction.set_rollback(True)


def _send(cast: Cast, client_of_carol: Api, data: st.DataObject) -> None:
    method, path, operation = data.draw(st.sampled_from(OPERATIONS), label="operation")
    address = path.removeprefix("/api/v1").format(**data.draw(_identifiers(cast), label="identifiers"))
    if method == "get":
        answer = client_of_carol.get(address, **data.draw(_query(operation, cast), label="query"))
    else:
        answer = client_of_carol.call(method.upper(), address, data.draw(_body(operation, cast), label="body"))
    assert answer.status < 500, answer.text
    if answer.status >= 400:
        assert answer.json["requestId"] == answer.headers["X-Request-ID"]


@pytest.fixture
def client_of_carol(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> Api:
    """An administrator who is not slowed down, in an organization with something of everything."""
    monkeypatch.setattr("orgs.api.base.record_use", lambda *given: 0)
    make_connection(cast.github, cast.alice)
    make_rule(cast.acme, "org", "allow")
    make_approval(cast.pr_bot, cast.alice, cast.create_issue)
    make_rule_request(cast.pr_bot, cast.alice, cast.create_issue)
    return make_api(cast.acme, cast.carol)


def _keys(cast: Cast) -> st.SearchStrategy[str]:
    rows = [cast.pr_bot, cast.github, cast.create_issue, cast.alice, cast.engineering, cast.delegation, cast.spy_bot]
    known = [str(row.pk) for row in rows]
    return st.sampled_from(known) | st.uuids().map(str)


def _keys_of(rows: Any) -> st.SearchStrategy[str]:
    return st.sampled_from([str(row.pk) for row in rows.all()])


def _identifiers(cast: Cast) -> st.SearchStrategy[dict[str, str]]:
    ours = {
        "application_id": st.just(str(cast.pr_bot.pk)) | _keys(cast),
        "integration_id": st.just(str(cast.github.pk)) | _keys(cast),
        "capability_id": st.just(str(cast.create_issue.pk)) | _keys(cast),
        "connection_id": _keys_of(cast.github.connections),
        "rule_id": _keys_of(cast.acme.rules),
        "approval_id": _keys_of(cast.acme.approvals),
        "rule_request_id": _keys_of(cast.acme.rule_requests),
        "delegation_id": _keys(cast),
        "event_id": _keys(cast),
        "trace_id": _keys(cast),
        "layer": st.sampled_from(["org", "user", "application", "cellar", "%00", "%ED%A0%80"]),
    }
    return st.fixed_dictionaries(ours)


def _body(operation: dict[str, Any], cast: Cast) -> st.SearchStrategy[Any]:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return st.none() | JUNK.map(_encode)
    schema = DOCUMENT["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
    fields = {name: _value(field, cast) | JUNK for name, field in schema["properties"].items()}
    required = {name: _value(schema["properties"][name], cast) for name in schema.get("required", [])}
    likely = st.fixed_dictionaries(required, optional={n: f for n, f in fields.items() if n not in required})
    return (likely | st.fixed_dictionaries({}, optional=fields) | JUNK).map(_encode)


def _query(operation: dict[str, Any], cast: Cast) -> st.SearchStrategy[dict[str, Any]]:
    named = {parameter["name"]: parameter["schema"] for parameter in operation.get("parameters", [])}
    fields = {name: _value(schema, cast) | TEXTS for name, schema in named.items() if not name.endswith("_id")}
    return st.fixed_dictionaries({}, optional=fields).map(
        lambda query: {name: str(value).encode("utf-8", "replace").decode() for name, value in query.items()}
    )


def _value(field: dict[str, Any], cast: Cast) -> st.SearchStrategy[Any]:
    """What the schema asks for, more or less."""
    if "enum" in field:
        return st.sampled_from(field["enum"])
    if field.get("format") == "uuid":
        return _keys(cast)
    if field.get("format") == "date-time":
        return st.datetimes().map(lambda moment: f"{moment.isoformat()}Z")
    if field.get("type") == "array":
        return st.lists(_value(field["items"], cast), max_size=3)
    if field.get("type") in ("integer", "number"):
        return st.integers(0, 300)
    if field.get("type") == "boolean":
        return st.booleans()
    if field.get("type") == "object":
        return st.sampled_from([{}, {"argument": "repo", "operator": "equals", "value": "x"}, {"all": [{}]}]) | JUNK
    return TEXTS | st.sampled_from(["name", "https://a.test/callback", "github:create_issue", "create_*", "127.0.0.1"])


def _encode(body: Any) -> bytes:
    return json.dumps(body).encode()
