"""A real HTTP authorization server with rotating refresh tokens. A spent one that comes back ends its family."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

OK = "ok"
LATE = "late"  # answers after `pause` seconds
DROP_BEFORE = "drop before"  # hangs up before it has looked
DROP_AFTER = "drop after"  # renews, and hangs up before it has answered
LIE = "lie"  # 200 without a token


@dataclass
class Family:
    current: str
    previous: str = ""
    is_alive: bool = True
    exchanges: int = 0
    repeats: int = 0


@dataclass
class Grants:
    """What the server knows. `faults` are spent one by one by the requests that come; then all goes well.

    With `is_lenient` the token spent last may come again until its successor is used, as many real servers allow for
    lost answers; otherwise any spent token ends its family (RFC 9700 §4.14.2).
    """

    families: dict[str, Family] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)  # refresh token, spent ones too -> family
    access: dict[str, str] = field(default_factory=dict)  # access token -> family
    faults: deque[str] = field(default_factory=deque)
    requests: list[dict[str, str]] = field(default_factory=list)
    revoked: list[str] = field(default_factory=list)
    is_lenient: bool = False
    lifetime: int = 3600
    pause: float = 1.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def issue(self, family: str = "") -> dict[str, Any]:
        family = family or secrets.token_hex(4)
        refresh, access = f"refresh-{secrets.token_hex(16)}", f"access-{secrets.token_hex(16)}"
        known = self.families.setdefault(family, Family(refresh))
        known.current = refresh
        self.owners[refresh] = self.access[access] = family
        return {
            "access_token": access,
            "refresh_token": refresh,
            "token_type": "Bearer",
            "expires_in": self.lifetime,
            "scope": "repo",
        }

    def renew(self, refresh: str) -> dict[str, Any] | None:
        family = self.families.get(self.owners.get(refresh, ""))
        is_repeated = family is not None and self.is_lenient and refresh == family.previous
        if family is None or not family.is_alive or (family.current != refresh and not is_repeated):
            if family is not None:
                family.is_alive = False
            return None
        family.exchanges += 1
        family.repeats += is_repeated
        family.previous = refresh
        return self.issue(self.owners[refresh])


class AuthorizationServer:
    """Listens on loopback until it is closed."""

    def __init__(self) -> None:
        self.grants = Grants()
        grants = self.grants

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                _serve(self, grants)

            def log_message(self, *_: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def exchanges(self) -> int:
        return sum(family.exchanges for family in self.grants.families.values())

    def wait_for_request(self, count: int = 1) -> None:
        deadline = time.monotonic() + 30
        while len(self.grants.requests) < count:
            assert time.monotonic() < deadline, "nobody asked the token endpoint"
            time.sleep(0.01)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _serve(handler: BaseHTTPRequestHandler, grants: Grants) -> None:
    form = dict(parse_qsl(handler.rfile.read(int(handler.headers.get("Content-Length", 0))).decode()))
    if handler.path == "/revoke":
        _revoke(handler, grants, form)
        return
    with grants.lock:
        fault = grants.faults.popleft() if grants.faults else OK
        grants.requests.append({**form, "authorization": handler.headers.get("Authorization", "")})
    if fault.isdigit():
        _answer(handler, int(fault), {})
    elif fault == LIE:
        _answer(handler, 200, {"token_type": "Bearer"})
    elif fault.startswith("invalid_"):
        _answer(handler, 401 if fault == "invalid_client" else 400, {"error": fault})
    elif fault == DROP_BEFORE:
        handler.close_connection = True
    else:
        _renew(handler, grants, form, fault)


def _renew(handler: BaseHTTPRequestHandler, grants: Grants, form: dict[str, str], fault: str) -> None:
    if fault == LATE:
        time.sleep(grants.pause)
    with grants.lock:
        tokens = grants.renew(form.get("refresh_token", ""))
    if fault == DROP_AFTER:
        handler.close_connection = True
    elif tokens is None:
        _answer(handler, 400, {"error": "invalid_grant"})
    else:
        _answer(handler, 200, tokens)


def _revoke(handler: BaseHTTPRequestHandler, grants: Grants, form: dict[str, str]) -> None:
    with grants.lock:
        fault = grants.faults.popleft() if grants.faults else OK
        if fault == OK:
            grants.revoked.append(form["token"])
            family = grants.families.get(grants.owners.get(form["token"], ""))
            if family is not None:
                family.is_alive = False
    _answer(handler, 200 if fault == OK else int(fault), {})


def _answer(handler: BaseHTTPRequestHandler, status: int, document: dict[str, Any]) -> None:
    body = json.dumps(document).encode()
    try:
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)
    except OSError:
        return  # whoever asked is dead
