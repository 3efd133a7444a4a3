"""The outlets that the settings ask for: any number of them, each at its own pace."""

from __future__ import annotations

from collections.abc import Callable

from orgs.outlets import elastic, file, http, otlp, s3, splunk, syslog
from orgs.outlets.base import Outlet

_KINDS: tuple[Callable[[], Outlet | None], ...] = (
    file.from_settings,
    http.from_settings,
    splunk.from_settings,
    elastic.from_settings,
    s3.from_settings,
    syslog.from_settings,
    otlp.from_settings,
)


def get_outlets() -> dict[str, Outlet]:
    """Return them by name. Raises ImproperlyConfigured."""
    made = [outlet for make in _KINDS if (outlet := make()) is not None]
    return {outlet.name: outlet for outlet in made}
