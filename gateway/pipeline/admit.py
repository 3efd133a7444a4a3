"""Between route and decide: is this a message that may pass at all, in the era it belongs to."""

from __future__ import annotations

from gateway.errors import (
    HeaderMismatchError,
    InvalidParamsError,
    MalformedMessageError,
    UnknownMethodError,
    UnsupportedMediaTypeError,
)
from gateway.http import JSON, Exchange
from gateway.mcp.eras import Era, check_modern_request, check_modern_version
from gateway.mcp.messages import Message
from gateway.mcp.methods import LEGACY_NOTIFICATIONS, REQUESTS, Kind, Method
from gateway.pipeline.call import Caller
from gateway.pipeline.decide import check_could_use


def check_content_type(exchange: Exchange) -> None:
    given = exchange.headers.get("content-type", "")
    if given != JSON and given.partition(";")[0].strip().lower() != JSON:
        raise UnsupportedMediaTypeError("the Content-Type must be application/json")


def admit_message(exchange: Exchange, message: Message, era: Era) -> Method | None:
    """Return how a request is treated (None for a notification or a response), or raise what is wrong with it."""
    if era is Era.MODERN:
        return _admit_modern(exchange, message)
    if message.method is None:
        return None
    if message.is_notification:
        if message.method not in LEGACY_NOTIFICATIONS:
            raise UnknownMethodError(f"the gateway knows no notification {message.method[:100]}", status=400)
        return None
    method = REQUESTS.get(message.method)
    if method is None or not method.is_legacy:
        raise UnknownMethodError(f"the gateway knows no method {message.method[:100]}", status=200)
    return method


def check_subjects(caller: Caller, message: Message) -> None:
    """Apply the rules to what isn't a call of one capability but is about some: completions and subscriptions."""
    if message.method == "completion/complete":
        reference = message.params.get("ref")
        if not isinstance(reference, dict):
            raise InvalidParamsError("params.ref must be an object")
        is_prompt = reference.get("type") == "ref/prompt"
        name = reference.get("name" if is_prompt else "uri")
        if not isinstance(name, str):
            raise InvalidParamsError("params.ref must name a prompt or a resource")
        check_could_use(caller, Kind.PROMPT if is_prompt else Kind.RESOURCE, name)
    elif message.method == "subscriptions/listen":
        for uri in _find_subscribed(message):
            check_could_use(caller, Kind.RESOURCE, uri)


def _admit_modern(exchange: Exchange, message: Message) -> Method | None:
    if exchange.repeated and (repeated := [name for name in exchange.repeated if name.startswith("mcp-")]):
        raise HeaderMismatchError(f"the {min(repeated)} header was sent more than once")
    if message.is_notification:
        check_modern_version(exchange.headers.get("mcp-protocol-version"))
        return None
    if message.method is None:
        raise MalformedMessageError("2026-07-28 has no responses from clients: retry the request with inputResponses")
    check_modern_request(message, exchange.headers)
    method = REQUESTS.get(message.method)
    if method is None or not method.is_modern:
        raise UnknownMethodError(f"the gateway knows no method {message.method[:100]}", status=404)
    return method


def _find_subscribed(message: Message) -> list[str]:
    wanted = message.params.get("notifications")
    uris = wanted.get("resourceSubscriptions") if isinstance(wanted, dict) else None
    if uris is None:
        return []
    if not isinstance(uris, list) or not all(isinstance(uri, str) for uri in uris):
        raise InvalidParamsError("resourceSubscriptions must be a list of URIs")
    return uris
