"""The third-party peers of the end-to-end tests, each in its own process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx2


@dataclass(frozen=True)
class SeenRequest:
    """One request the demo GitHub received at its MCP endpoint."""

    method: str
    path: str
    headers: dict[str, str]
    rpc_method: str
    tool: str

    @property
    def bearer(self) -> str:
        return self.headers.get("authorization", "").removeprefix("Bearer ")


@dataclass(frozen=True)
class GitHub:
    """The demo GitHub and the levers of its `--inspect` switch."""

    base_url: str

    @property
    def url(self) -> str:
        return f"{self.base_url}/mcp"

    def seen(self) -> list[SeenRequest]:
        return [SeenRequest(**entry) for entry in self._call("GET", "requests")]

    def calls_of(self, tool: str) -> list[SeenRequest]:
        return [entry for entry in self.seen() if entry.rpc_method == "tools/call" and entry.tool == tool]

    def forget_requests(self) -> None:
        self._call("DELETE", "requests")

    def expire_access_tokens(self) -> int:
        return int(self._call("POST", "expire")["expired"])

    def revoke_everything(self) -> None:
        self._call("POST", "revoke")

    def set_token_lifetime(self, seconds: int) -> None:
        self._call("POST", "lifetime", {"seconds": seconds})

    def tokens(self) -> dict[str, list[str]]:
        tokens: dict[str, list[str]] = self._call("GET", "tokens")
        return tokens

    def issues(self, repository: str) -> list[dict[str, Any]]:
        issues: list[dict[str, Any]] = self._call("GET", "repositories")[repository]["issues"]
        return issues

    def repositories(self) -> set[str]:
        return set(self._call("GET", "repositories"))

    def _call(self, method: str, path: str, body: object = None) -> Any:
        response = httpx2.request(method, f"{self.base_url}/inspect/{path}", json=body, timeout=10)
        response.raise_for_status()
        return response.json()
