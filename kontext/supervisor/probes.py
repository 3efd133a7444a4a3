"""Is a process doing its work? Each probe answers quickly and never raises."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from urllib.parse import urlsplit

TIMEOUT = 1.0


def answers_http(url: str) -> Callable[[], bool]:
    """Return a probe that is true once the URL gives any HTTP answer below 500, redirects and refusals included."""

    def probe() -> bool:
        status = find_status(url)
        return status is not None and status < 500

    return probe


def find_status(url: str, *, timeout: float = TIMEOUT) -> int | None:
    """Return the HTTP status that the URL answers with, or None where nothing does."""
    try:
        with _OPENER.open(url, timeout=timeout) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except (OSError, ValueError, HTTPException):
        return None


def accepts_connections(url: str) -> Callable[[], bool]:
    """Return a probe that is true once something listens at the URL's host and port."""
    parts = urlsplit(url)

    def probe() -> bool:
        try:
            with socket.create_connection((parts.hostname or "", parts.port or 80), timeout=TIMEOUT):
                return True
        except OSError:
            return False

    return probe


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments: object) -> None:
        return None


# Straight to our own process: no proxy from the environment, no redirect followed to another host.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)
