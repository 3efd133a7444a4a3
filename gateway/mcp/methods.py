"""Every method the gateway lets through, in either direction of time. What is not in these tables is refused."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a method acts on, as connections.Capability knows it."""

    TOOL = "tool"
    RESOURCE = "resource"
    PROMPT = "prompt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """How a request is treated.

    An invocation names one capability in `subject` (a member of params), is decided and audited. A list answers with
    `items`, each named by `item_name`, and is filtered. `is_sealed` marks those whose retries carry a requestState.
    """

    name: str
    kind: Kind | None = None
    subject: str = ""
    items: str = ""
    item_name: str = "name"
    is_modern: bool = True
    is_legacy: bool = True
    is_cacheable: bool = False
    is_stream: bool = False

    @property
    def is_invocation(self) -> bool:
        return bool(self.subject)


def _table(*methods: Method) -> dict[str, Method]:
    return {method.name: method for method in methods}


REQUESTS = _table(
    Method(name="tools/call", kind=Kind.TOOL, subject="name"),
    Method(name="prompts/get", kind=Kind.PROMPT, subject="name"),
    Method(name="resources/read", kind=Kind.RESOURCE, subject="uri", is_cacheable=True),
    Method(name="resources/subscribe", kind=Kind.RESOURCE, subject="uri", is_modern=False),
    Method(name="resources/unsubscribe", is_modern=False),
    Method(name="tools/list", kind=Kind.TOOL, items="tools", is_cacheable=True),
    Method(name="prompts/list", kind=Kind.PROMPT, items="prompts", is_cacheable=True),
    Method(name="resources/list", kind=Kind.RESOURCE, items="resources", item_name="uri", is_cacheable=True),
    Method(
        name="resources/templates/list",
        kind=Kind.RESOURCE,
        items="resourceTemplates",
        item_name="uriTemplate",
        is_cacheable=True,
    ),
    Method(name="completion/complete"),
    Method(name="server/discover", is_legacy=False, is_cacheable=True),
    Method(name="subscriptions/listen", is_legacy=False, is_stream=True),
    Method(name="initialize", is_modern=False),
    Method(name="ping", is_modern=False),
    Method(name="logging/setLevel", is_modern=False),
)

LISTS = {method.items: method for method in REQUESTS.values() if method.items}

# 2026-07-28 has no notifications towards servers over HTTP: closing the stream cancels.
LEGACY_NOTIFICATIONS = frozenset(
    {
        "notifications/cancelled",
        "notifications/initialized",
        "notifications/progress",
        "notifications/roots/list_changed",
    }
)
