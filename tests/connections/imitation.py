"""A real HTTP server that is, in turn, each service of the catalogue: it keeps to what the entry says, and strictly.

It has code of its own for all of it and shares none with what it tests. All hosts live at one address:
`https://slack.com/api` is `http://127.0.0.1:PORT/slack.com/api` here.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit

from connections.catalogue.entries import Entry
from connections.catalogue.reading import read_table, write_table
from connections.oauth.dialect import Call, OAuth, Parameter, Revocation

ACCOUNT = "alice@acme.test"
CLIENT_ID, CLIENT_SECRET = "kontext-client", "s3cret/with+signs"
# What it takes for a refresh token, at those services that want to be asked.
OFFLINE_PARAMETERS = {"access_type": "offline", "token_access_type": "offline", "duration": "permanent"}
OFFLINE_SCOPES = {"offline_access", "offline", "offline.access", "refresh_token"}


class RefusedError(Exception):
    """The service says no. `status` and `error` are what it answers."""

    def __init__(self, error: str, status: int = 400) -> None:
        super().__init__(error)
        self.error, self.status = error, status


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def kind(self) -> str:
        return self.headers.get("Content-Type", "").partition(";")[0]

    def read_form(self) -> dict[str, Any]:
        require(self.method == "POST" and self.kind == "application/x-www-form-urlencoded", "another kind of body")
        return dict(parse_qsl(self.body.decode(), strict_parsing=True))

    def read_json(self) -> dict[str, Any]:
        require(self.method == "POST" and self.kind == "application/json", "another kind of body")
        document: dict[str, Any] = json.loads(self.body)
        return document


@dataclass
class State:
    """What the service knows. `told` are the parameters of the account, `key` the parts of a key that is right."""

    entry: Entry
    told: dict[str, str]
    key: dict[str, str] = field(default_factory=dict)
    omits_expiry: bool = False
    answers_200: bool = False
    grants: dict[str, dict[str, Any]] = field(default_factory=dict)  # by code
    access: dict[str, bool] = field(default_factory=dict)  # by token: whether it is still good
    refresh: dict[str, bool] = field(default_factory=dict)
    revoked: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    @property
    def oauth(self) -> OAuth:
        assert self.entry.oauth is not None
        return self.entry.oauth


class Imitation:
    """Listens on loopback until it is closed."""

    def __init__(self) -> None:
        self._state: State | None = None
        imitation = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                imitation.serve(self)

            do_POST = do_GET

            def log_message(self, *_: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def state(self) -> State:
        assert self._state is not None
        return self._state

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def relocate(self, entry: Entry) -> Entry:
        """Return the entry with every one of its addresses at this server."""
        moved = json.loads(json.dumps(write_table(entry)).replace("https://", f"{self.base}/"))
        return replace(read_table(Entry, moved), slug=entry.slug)

    def imitate(self, entry: Entry, values: Mapping[str, str]) -> State:
        """Be this (relocated) service from now on, as the operator's `values` have it."""
        told = {name: f"{name.replace('_', '-')}-1" for name, one in entry.parameters.items() if one.kind == "word"}
        told |= {name: f"{self.base}/{name}.test" for name, one in entry.parameters.items() if one.kind == "url"}
        defaults = {name: one.default for name, one in entry.parameters.items() if one.default}
        # Filled in as for this operator and account: from here on there is nothing left to fill but secrets.
        filled = fill_all(write_table(entry), {**told, **defaults, **values})
        self._state = State(replace(read_table(Entry, filled), slug=entry.slug), told)
        return self._state

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        request = Request(handler.command, parts.path, dict(parse_qsl(parts.query)), dict(handler.headers), body)
        headers = {"Content-Type": "application/json"}
        try:
            status, document = 200, self._route(request)
            if isinstance(document, str):
                status, headers["Location"], document = 302, document, {}
        except RefusedError as error:
            self.state.refusals.append(f"{parts.path}: {error.error}")
            status = 200 if self.state.answers_200 else error.status
            document = {"ok": False, "error": error.error}
        answer = json.dumps(document).encode()
        handler.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(answer))}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(answer)

    def _route(self, request: Request) -> Any:
        entry = self.state.entry
        for url, serve in self._list_routes(entry):
            parts = urlsplit(url)
            if url and parts.path == request.path and dict(parse_qsl(parts.query)).items() <= request.query.items():
                return serve(request)
        if entry.api is not None and request.path.startswith(f"{urlsplit(entry.api.url).path}/imitated"):
            self._check_call(request)
            return {"done": True}
        raise RefusedError("no such address", 404)

    def _list_routes(self, entry: Entry) -> Iterator[tuple[str, Any]]:
        if self.state.key:
            assert entry.key is not None
            assert entry.key.check is not None
            yield fill_all(entry.key.check.url, self.state.key), self._check_key
            return
        yield from ((self.state.oauth.authorization_url, self._authorize), (self.state.oauth.token_url, self._give))
        yield self.state.oauth.refresh_url, self._give
        if self.state.oauth.revocation is not None:
            yield self.state.oauth.revocation.url, self._revoke
        if entry.account is not None:
            yield entry.account.url, self._show_account
        for name, parameter in entry.parameters.items():
            yield parameter.url, lambda request, name=name: self._tell(request, name)

    def _authorize(self, request: Request) -> str:
        oauth, query = self.state.oauth, dict(request.query)
        is_offline = self._is_offline(query)
        for name, value in {"response_type": "code", "client_id": CLIENT_ID, **oauth.authorize_parameters}.items():
            require(query.pop(name, "") == value or name in OFFLINE_PARAMETERS, f"{name} is not {value}")
        challenge, method = query.pop("code_challenge", ""), query.pop("code_challenge_method", "")
        require((bool(challenge), method) == ((True, "S256") if oauth.pkce else (False, "")), "PKCE is not as it is")
        scope = query.pop(oauth.scope_parameter, "")
        require(scope == oauth.scope_separator.join(oauth.scopes), f"scope is {scope!r}")
        redirect_uri, state = query.pop("redirect_uri"), query.pop("state")
        require(not query, f"never heard of {sorted(query)}")
        code = secrets.token_hex(8)
        self.state.grants[code] = {
            "challenge": challenge,
            "redirect_uri": redirect_uri,
            "scope": scope,
            "is_offline": is_offline,
        }
        told = {one.path: self.state.told[name] for name, one in self._list_parameters("redirect")}
        return f"{redirect_uri}?{urlencode({'code': code, 'state': state, **told})}"

    def _is_offline(self, query: Mapping[str, str]) -> bool:
        oauth = self.state.oauth
        asks = [name for name in OFFLINE_PARAMETERS if name in oauth.authorize_parameters]
        granted = set(re.split(r"[ ,]", query.get(oauth.scope_parameter, "")))
        is_asked = all(query.get(name) == OFFLINE_PARAMETERS[name] for name in asks)
        return is_asked and OFFLINE_SCOPES & set(oauth.scopes) <= granted

    def _give(self, request: Request) -> Any:
        oauth = self.state.oauth
        body = request.read_json() if oauth.token_format == "json" else request.read_form()
        self._check_client(request, body, oauth.client_auth)
        if body.get("grant_type") == "authorization_code":
            require(urlsplit(oauth.token_url).path == request.path, "codes are not taken here")
            return self._redeem(body)
        require(body.get("grant_type") == "refresh_token", "unsupported_grant_type")
        require(urlsplit(oauth.refresh_url or oauth.token_url).path == request.path, "refresh tokens aren't taken here")
        return self._refresh(body)

    def _redeem(self, body: dict[str, Any]) -> Any:
        oauth, grant = self.state.oauth, self.state.grants.pop(body.get("code", ""), None)
        if grant is None:
            raise RefusedError("invalid_grant")
        require(body.get("redirect_uri") == grant["redirect_uri"], "redirect_uri differs")
        if oauth.pkce:
            digest = hashlib.sha256(body.get("code_verifier", "").encode()).digest()
            require(base64.urlsafe_b64encode(digest).decode().rstrip("=") == grant["challenge"], "invalid_grant")
        else:
            require("code_verifier" not in body, "never heard of code_verifier")
        wanted = {
            name: value if oauth.token_format == "json" else str(value)
            for name, value in oauth.token_parameters.items()
        }
        is_offline = grant["is_offline"] and wanted.items() <= body.items()
        answer = self._issue(with_refresh=is_offline and oauth.refresh_token in ("rotating", "static"))
        answer["scope"] = grant["scope"]
        if oauth.token_path:
            answer = {"ok": True, oauth.token_path: answer}
        return answer | {one.path: self.state.told[name] for name, one in self._list_parameters("token")}

    def _refresh(self, body: dict[str, Any]) -> Any:
        oauth, token = self.state.oauth, body.get("refresh_token", "")
        if oauth.refresh_sends_scopes:
            require(set(body.get("scope", "").split()) == set(oauth.scopes), "invalid_scope")
        if not self.state.refresh.get(token):
            raise RefusedError(oauth.grant_errors[0] if oauth.grant_errors else "invalid_grant")
        is_rotating = oauth.refresh_token == "rotating"
        self.state.refresh[token] = not is_rotating
        self.state.access = dict.fromkeys(self.state.access, False)
        return self._issue(with_refresh=is_rotating)

    def _issue(self, *, with_refresh: bool) -> dict[str, Any]:
        oauth, access = self.state.oauth, f"access-{secrets.token_hex(12)}"
        self.state.access[access] = True
        answer: dict[str, Any] = {"access_token": access, "token_type": oauth.token_types[0]}
        if with_refresh:
            answer["refresh_token"] = f"refresh-{secrets.token_hex(12)}"
            self.state.refresh[answer["refresh_token"]] = True
        if oauth.expires_at:
            answer[oauth.expires_at] = "2099-01-01T00:00:00Z"
        elif oauth.lifetime and not self.state.omits_expiry:
            answer["expires_in"] = oauth.lifetime
        return answer

    def _check_client(self, request: Request, body: dict[str, Any], method: str) -> None:
        proof = request.headers.get("Authorization", "")
        if method == "client_secret_post":
            client = (body.get("client_id", ""), body.get("client_secret", ""))
            require(client == (CLIENT_ID, CLIENT_SECRET) and not proof, "invalid_client", 401)
            return
        pair = base64.b64decode(proof.removeprefix("Basic ")).decode() if proof.startswith("Basic ") else ":"
        client_id, _, secret = pair.partition(":")
        require((unquote_plus(client_id), unquote_plus(secret)) == (CLIENT_ID, CLIENT_SECRET), "invalid_client", 401)
        require("client_secret" not in body, "invalid_client", 401)

    def _check_call(self, request: Request) -> None:
        """Take a call with what this service wants in its headers, no more and no less."""
        entry = self.state.entry
        if self.state.key:
            self._check_key_headers(request)
            return
        before = self.state.oauth.template.partition("{token}")[0]
        header = request.headers.get(self.state.oauth.header, "")
        require(header.startswith(before) and self.state.access.get(header[len(before) :], False), "invalid_token", 401)
        for name, value in (entry.api.headers if entry.api is not None else {}).items():
            # The account call comes before anybody knows what it tells.
            is_known = not any(self.state.told[told] == value for told, _ in self._list_parameters("account"))
            if "{" not in value and (is_known or "imitated" in request.path):
                require(request.headers.get(name) == value, f"{name} is missing")

    def _show_account(self, request: Request) -> Any:
        call = self.state.entry.account
        assert call is not None
        moment = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "token": [*self.state.access][-1]}
        require(request.method == call.method, "another method", 405)
        if call.authorization == "none":
            require("Authorization" not in request.headers, "no header is wanted")
        elif call.authorization:
            require(request.headers.get("Authorization") == fill_all(call.authorization, moment), "invalid_token", 401)
        else:
            self._check_call(request)
        if call.form:
            require(request.read_form() == fill_all(dict(call.form), moment), "another body")
        if call.body:
            require(request.read_json() == json.loads(call.body), "another body")
        return self._describe_account(call)

    def _describe_account(self, call: Call) -> Any:
        document = put([] if call.path.startswith("[") else {}, call.path, ACCOUNT) if call.path else {}
        document = put(document, call.ok, True) if call.ok else document
        for name, parameter in self._list_parameters("account"):
            document = put(document, parameter.path, self.state.told[name])
        return document

    def _tell(self, request: Request, name: str) -> Any:
        self._check_call(request)
        path = self.state.entry.parameters[name].path
        return put([] if path.startswith("[") else {}, path, self.state.told[name])

    def _check_key(self, request: Request) -> Any:
        self._check_key_headers(request)
        assert self.state.entry.key is not None
        assert self.state.entry.key.check is not None
        return self._describe_account(self.state.entry.key.check)

    def _check_key_headers(self, request: Request) -> None:
        key, values = self.state.entry.key, dict(self.state.key)
        assert key is not None
        if key.basic:
            values["basic"] = base64.b64encode(fill_all(key.basic, values).encode()).decode()
        headers = {key.header: key.template, **(self.state.entry.api.headers if self.state.entry.api else {})}
        for name, template in headers.items():
            require(request.headers.get(name) == fill_all(template, values), "invalid_key", 401)

    def _revoke(self, request: Request) -> Any:
        how = self.state.oauth.revocation
        assert how is not None
        body = request.read_json() if how.json else {} if how.is_empty else request.read_form()
        for token in [*(token for token, is_good in self.state.refresh.items() if is_good), *self.state.access]:
            moment = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "token": token}
            if self._is_about(request, how, body, moment):
                self.state.revoked.append(token)
                return {"ok": True}
        raise RefusedError("this is not how a token is ended here")

    def _is_about(self, request: Request, how: Revocation, body: dict[str, Any], moment: dict[str, str]) -> bool:
        if how.authorization in ("client", "basic"):
            self._check_client(request, body, "" if how.authorization == "basic" else self.state.oauth.client_auth)
        elif request.headers.get("Authorization") != fill_all(how.authorization, moment):
            return False
        if how.is_empty:
            return not request.body
        expected = fill_all(dict(how.json or how.form or {"token": "{token}", "token_type_hint": "{hint}"}), moment)
        if "token_type_hint" in expected:
            expected["token_type_hint"] = moment["token"].partition("-")[0] + "_token"
            return bool(expected.items() <= body.items())
        return bool(body == expected)

    def _list_parameters(self, source: str) -> list[tuple[str, Parameter]]:
        return [(name, one) for name, one in self.state.entry.parameters.items() if one.source == source]


def require(holds: bool, error: str, status: int = 400) -> None:
    if not holds:
        raise RefusedError(error, status)


def fill_all(document: Any, values: Mapping[str, str]) -> Any:
    if isinstance(document, str):
        return re.sub(r"\{([a-z_]+)\}", lambda found: values.get(found[1], found[0]), document)
    if isinstance(document, dict):
        return {name: fill_all(value, values) for name, value in document.items()}
    return [fill_all(value, values) for value in document] if isinstance(document, list | tuple) else document


def put(document: Any, path: str, value: Any) -> Any:
    """Put a value where a path leads, making the way there: `[0].name`, `data.viewer.email`, `emails[0].value`."""
    steps = [int(index) if index else name for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path)]
    here = document
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        child: Any = value if following is None else [] if isinstance(following, int) else {}
        if isinstance(step, int):
            here += [child] * (step + 1 - len(here))
        elif step not in here or following is None:
            here[step] = child
        here = here[step]
    return document
