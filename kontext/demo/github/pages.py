"""The one page a person sees at the demo GitHub: choose an account, allow or refuse."""

from __future__ import annotations

from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from kontext.demo.github.provider import ACCOUNTS, DemoProvider, PendingConsent

HEADERS = {"Cache-Control": "no-store", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer"}
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · GitHub (demo)</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 26rem; margin: 10vh auto; padding: 0 1rem }}
:root {{ color-scheme: light dark }}
fieldset {{ border: 1px solid #8888; border-radius: 8px; padding: 1rem }} label {{ display: block; padding: .25rem 0 }}
button {{ font: inherit; padding: .5rem 1rem; border-radius: 8px; margin: 1rem .5rem 0 0 }}
</style></head><body><main><h1>{title}</h1>{body}</main></body></html>"""


def consent_routes(provider: DemoProvider) -> list[Route]:
    def show(request: Request) -> Response:
        handle = request.query_params.get("request", "")
        pending = provider.find_pending(handle)
        return _expired() if pending is None else _chooser(handle, pending)

    async def answer(request: Request) -> Response:
        form = await request.form()
        handle, account = str(form.get("request", "")), str(form.get("account", ""))
        if provider.find_pending(handle) is None:
            return _expired()
        if form.get("decision") != "allow":
            return RedirectResponse(provider.refuse(handle), 303, HEADERS)
        if account not in ACCOUNTS:
            return _page("Choose an account", "<p>Go back and choose one of the accounts.</p>", status=400)
        return RedirectResponse(provider.approve(handle, account), 303, HEADERS)

    return [Route("/consent", show, methods=["GET"]), Route("/consent", answer, methods=["POST"])]


def _chooser(handle: str, pending: PendingConsent) -> HTMLResponse:
    client = escape(pending.client.client_name or pending.client.client_id)
    host = escape(pending.params.redirect_uri.host or "")
    choices = "".join(
        f'<label><input type="radio" name="account" value="{name}"{" checked" * (index == 0)}> {name}</label>'
        for index, name in enumerate(ACCOUNTS)
    )
    return _page(
        "Authorize access",
        f"<p><strong>{client}</strong> wants to use your repositories. You will be sent to {host}.</p>"
        f'<form method="post"><input type="hidden" name="request" value="{escape(handle)}">'
        f"<fieldset><legend>Account</legend>{choices}</fieldset>"
        '<button name="decision" value="allow">Authorize</button>'
        '<button name="decision" value="deny" formnovalidate>Cancel</button></form>'
        "<p><small>A stand-in for GitHub that runs on this machine. It has accounts but no passwords.</small></p>",
    )


def _expired() -> HTMLResponse:
    return _page("This request has ended", "<p>It was answered or is too old. Start again.</p>", status=400)


def _page(title: str, body: str, *, status: int = 200) -> HTMLResponse:
    return HTMLResponse(PAGE.format(title=title, body=body), status, HEADERS)
