"""What a person does in their browser to connect an account at the demo GitHub, step by step."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

import httpx2

from connections.models import Connection, ConnectSession, Integration
from connections.services.begin_connect import begin_connect
from connections.services.complete_connect import complete_connect
from connections.services.start_authorization import start_authorization
from orgs.models import User

BROWSER = "a secret that only this browser has"


def begin(user: User, integration: Integration) -> ConnectSession:
    return ConnectSession.objects.get(pk=begin_connect(user=user, integration=integration).session_id)


def consent(url: str, *, account: str = "alice-acme", decision: str = "allow") -> dict[str, str]:
    """Answer the demo GitHub's consent page; returns the query that the browser brings to our callback."""
    with httpx2.Client(follow_redirects=False, timeout=10) as browser:
        page = browser.get(browser.get(url).headers["Location"])
        handle = re.search(r'name="request" value="([^"]+)"', page.text)
        assert handle is not None, page.text
        action = urlsplit(str(page.url))._replace(query="").geturl()
        form = {"request": handle[1], "account": account, "decision": decision}
        answer = browser.post(action, data=form)
    return dict(parse_qsl(urlsplit(answer.headers["Location"]).query))


def connect(user: User, integration: Integration, *, account: str = "alice-acme") -> Connection:
    """The whole way; returns the active connection."""
    session = begin(user, integration)
    answer = consent(start_authorization(session=session, browser=BROWSER), account=account)
    session.refresh_from_db()
    return complete_connect(session=session, parameters=answer)
