"""The way out to integrations: where it doesn't go, and how long it waits."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from aiohttp.client_proto import ResponseHandler

from gateway import upstream
from gateway.errors import IntegrationAnswerError, IntegrationUnreachableError
from gateway.upstream import Upstream
from tests.gateway.wire.integration import Handler, Reply, ScriptedIntegration, Seen


@pytest.fixture
def scripted() -> Iterator[ScriptedIntegration]:
    server = ScriptedIntegration()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield server
    server.disconnected.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
async def client() -> AsyncIterator[Upstream]:
    client = Upstream()
    await client.start()
    yield client
    await client.stop()


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1:1/mcp",
        "https://[::1]:1/mcp",
        "https://[::ffff:127.0.0.1]:1/mcp",
        "https://localhost:1/mcp",
        "https://2130706433:1/mcp",
        "https://10.0.0.1/mcp",
        "https://169.254.169.254/mcp",
        "http://example.com/mcp",
        "file:///etc/passwd",
    ],
)
async def test_send_to_a_private_address_or_other_scheme_is_refused(client: Upstream, settings: Any, url: str) -> None:
    settings.ALLOW_PRIVATE_NETWORKS = False
    with pytest.raises(IntegrationUnreachableError) as failure:
        await client.send("POST", url, {}, b"{}")
    assert "127.0.0.1" not in str(failure.value)


async def test_send_to_instance_metadata_is_refused_even_where_private_networks_are_allowed(client: Upstream) -> None:
    with pytest.raises(IntegrationUnreachableError):
        await client.send("POST", "http://169.254.169.254/mcp", {}, b"{}")


async def test_send_to_a_silent_integration_ends_in_time(
    client: Upstream, scripted: ScriptedIntegration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "_SILENCE_SECONDS", 0.2)

    def stay_silent(_seen: Seen, handler: Handler) -> None:
        handler.server.disconnected.wait(5)

    scripted.script = stay_silent
    with pytest.raises(IntegrationUnreachableError, match="in time"):
        await client.send("POST", scripted.url, {}, b"{}")


async def test_read_dripping_answer_ends_in_time(
    client: Upstream, scripted: ScriptedIntegration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "_DOCUMENT_SECONDS", 0.5)

    def drip(_seen: Seen, handler: Handler) -> None:
        handler.open_stream()
        while not handler.server.disconnected.wait(0.05):
            handler.wfile.write(b"x")

    scripted.script = drip
    answer = await client.send("POST", scripted.url, {}, b"{}")
    with pytest.raises(IntegrationUnreachableError, match="in time"):
        await answer.read()
    answer.close()
    scripted.disconnected.set()


async def test_read_oversized_answer_is_cut_off(
    client: Upstream, scripted: ScriptedIntegration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "MAX_DOCUMENT_BYTES", 1_000_000)
    scripted.script = lambda _seen, _handler: Reply(raw=b"x" * 3_000_000)
    answer = await client.send("POST", scripted.url, {}, b"{}")
    with pytest.raises(IntegrationAnswerError, match="too large"):
        await answer.read()
    answer.close()


@pytest.mark.parametrize("is_paused", [False, True])
@pytest.mark.parametrize("size", [2, 100_000, 4_000_000])
async def test_send_delivers_headers_and_body_as_given_over_one_connection(
    client: Upstream, scripted: ScriptedIntegration, monkeypatch: pytest.MonkeyPatch, size: int, is_paused: bool
) -> None:
    """Aiohttp's own way of writing a request is replaced (gateway.upstream): each byte has to arrive."""
    monkeypatch.setattr(ResponseHandler, "writing_paused", is_paused)
    scripted.script = lambda _seen, _handler: Reply({"jsonrpc": "2.0", "id": 1, "result": {}})
    bodies = [bytes([65 + number]) * size for number in range(5)]
    for body in bodies:
        answer = await client.send("POST", scripted.url, {"accept": "application/json", "X-Key": "k"}, body)
        await answer.read()
        answer.close()
    assert [seen.body for seen in scripted.seen] == bodies
    host = scripted.url.split("/")[2]
    expected = {"host": host, "accept": "application/json", "x-key": "k", "content-length": str(size)}
    assert [{name: seen.headers.get(name) for name in expected} for seen in scripted.seen] == [expected] * 5
    assert scripted.connections == 1


async def test_send_without_a_body_says_nothing_of_one(client: Upstream, scripted: ScriptedIntegration) -> None:
    scripted.script = lambda _seen, _handler: Reply({})
    (await client.send("DELETE", scripted.url, {"accept": "application/json"})).close()
    assert scripted.seen[0].body == b""
    assert "content-type" not in scripted.seen[0].headers


@pytest.mark.parametrize("value", ["a\r\nx-other: b", "a\nb", "a\rb", "a\0b"])
async def test_send_header_that_would_begin_another_sends_nothing(
    client: Upstream, scripted: ScriptedIntegration, value: str
) -> None:
    with pytest.raises(IntegrationUnreachableError):
        await client.send("POST", scripted.url, {"accept": value}, b"{}")
    assert scripted.seen == []


async def test_send_passes_over_what_comes_before_the_answer(client: Upstream, scripted: ScriptedIntegration) -> None:
    def hint_first(_seen: Seen, handler: Handler) -> Reply:
        handler.wfile.write(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n")
        return Reply({"jsonrpc": "2.0", "id": 1, "result": {}})

    scripted.script = hint_first
    answer = await client.send("POST", scripted.url, {}, b"{}")
    assert answer.status == 200
    assert json.loads(await answer.read()) == {"jsonrpc": "2.0", "id": 1, "result": {}}
    answer.close()
