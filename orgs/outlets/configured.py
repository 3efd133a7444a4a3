"""The outlets that the settings ask for: any number of them, each at its own pace."""

from __future__ import annotations

from collections.abc import Callable

from orgs.outlets import file, http
from orgs.outlets.base import Outlet

_KINDS: tuple[Callable[[], Outlet | None], ...] = (file.from_settings, http.from_settings)


def get_outlets() -> dict[str, Outlet]:
    """Return them by name. Raises ImproperlyConfigured."""
    made = [outlet for make in _KINDS if (outlet := make()) is not None]
    return {outlet.name: outlet for outlet in made}
