"""How the admin looks and what its navigation offers: the objects in the order in which docs/concepts.md tells them.

Part of the settings, so whatever needs models is imported when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.urls import reverse_lazy


def may_see(label: str) -> Callable[[HttpRequest], bool]:
    """Return the question whether a person may see a model's list."""

    def ask(request: HttpRequest) -> bool:
        from django.apps import apps
        from django.contrib import admin

        model_admin: Any = admin.site.get_model_admin(apps.get_model(label))
        return bool(model_admin.has_view_permission(request))

    return ask


def may_replay(request: HttpRequest) -> bool:
    from policy.admin.replay import may_replay

    return may_replay(request)


def _link(title: str, icon: str, label: str) -> dict[str, Any]:
    address = reverse_lazy(f"admin:{label.lower().replace('.', '_')}_changelist")
    return {"title": title, "icon": icon, "link": address, "permission": may_see(label)}


_OWN_ENTRIES = ("/simulate/", "/matrix/", "/replay/")


def _is_about_rules(request: HttpRequest) -> bool:
    # What has an entry of its own lies below.
    return request.path.startswith("/admin/policy/rule/") and not request.path.endswith(_OWN_ENTRIES)


def _file(path: str) -> Callable[[HttpRequest], str]:
    """Return the address of a static file, which changes with its content."""

    def find(request: HttpRequest) -> str:
        from orgs.templatetags.kontext_ui import asset

        return str(asset(path))

    return find


NAVIGATION: list[dict[str, Any]] = [
    {"items": [{"title": "Overview", "icon": "dashboard", "link": reverse_lazy("admin:index")}]},
    {
        "title": "Organization",
        "separator": True,
        "items": [
            _link("Organizations", "domain", "orgs.Organization"),
            _link("Identity providers", "login", "orgs.IdentityProvider"),
            _link("People", "group", "orgs.User"),
            _link("Memberships", "badge", "orgs.Membership"),
            _link("Groups", "groups", "orgs.Group"),
        ],
    },
    {
        "title": "Applications",
        "separator": True,
        "items": [
            _link("Applications", "smart_toy", "orgs.Application"),
            _link("Consents", "handshake", "orgs.Delegation"),
            _link("Tokens", "key", "orgs.IssuedToken"),
        ],
    },
    {
        "title": "Integrations",
        "separator": True,
        "items": [
            _link("Integrations", "hub", "connections.Integration"),
            _link("Capabilities", "bolt", "connections.Capability"),
            _link("Connections", "link", "connections.Connection"),
            _link("Receipts", "receipt_long", "connections.Revocation"),
            _link("Connecting now", "hourglass_top", "connections.ConnectSession"),
            _link("Invitations", "mail", "connections.ConnectInvitation"),
            _link("External sign-in", "verified_user", "connections.ExternalAuth"),
        ],
    },
    {
        "title": "Policy",
        "separator": True,
        "items": [
            {**_link("Rules", "gavel", "policy.Rule"), "active": _is_about_rules},
            _link("Baselines", "horizontal_rule", "policy.Baseline"),
            _link("Approvals", "approval", "policy.Approval"),
            _link("Requests", "contact_support", "policy.RuleRequest"),
            {
                "title": "Who may do what",
                "icon": "rule",
                "link": reverse_lazy("admin:policy_rule_simulate"),
                "permission": may_see("policy.Rule"),
            },
            {
                "title": "Matrix",
                "icon": "grid_on",
                "link": reverse_lazy("admin:policy_rule_matrix"),
                "permission": may_see("policy.Rule"),
            },
            {
                "title": "Replay",
                "icon": "replay",
                "link": reverse_lazy("admin:policy_rule_replay"),
                "permission": may_replay,
            },
        ],
    },
    {
        "title": "Alerts",
        "separator": True,
        "items": [
            _link("Alerts", "notifications", "orgs.Alert"),
            _link("What is told", "tune", "orgs.AlertSettings"),
            _link("Where it is told", "campaign", "orgs.NoticePlace"),
            _link("Deliveries", "outgoing_mail", "orgs.Delivery"),
        ],
    },
    {
        "title": "Record",
        "separator": True,
        "items": [
            _link("Audit events", "history", "audit.AuditEvent"),
            _link("Saved searches", "saved_search", "orgs.SavedSearch"),
            _link("Audit trees", "account_tree", "audit.Tree"),
            _link("Signing keys", "encrypted", "orgs.SigningKey"),
            _link("Checkpoint keys", "verified", "orgs.CheckpointKey"),
        ],
    },
]

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Kontext",
    "SITE_HEADER": "Kontext",
    "SITE_SUBHEADER": "Administration",
    "SITE_URL": "/",
    "SITE_ICON": _file("kontext/icon.svg"),
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": _file("kontext/icon.svg")}],
    "SHOW_HISTORY": True,  # leads to the object's audit events
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "BORDER_RADIUS": "6px",
    "STYLES": [_file(f"kontext/{name}.css") for name in ("tokens", "parts", "admin")],
    "SCRIPTS": [_file("kontext/admin.js")],
    "DASHBOARD_CALLBACK": "kontext.dashboard.show_dashboard",
    "COMMAND": {"search_models": False, "show_history": False},
    "SIDEBAR": {
        "show_search": False,
        "command_search": False,
        "show_all_applications": False,
        "navigation": NAVIGATION,
    },
    # The portal's accent and slate (kontext/static/kontext/tokens.css).
    "COLORS": {
        "primary": {
            "50": "#eef3fe",
            "100": "#dfe8fd",
            "200": "#c3d4fb",
            "300": "#9cb9f7",
            "400": "#8db4ff",
            "500": "#4f7fe8",
            "600": "#1c4fc4",
            "700": "#163f9d",
            "800": "#15367f",
            "900": "#152e66",
            "950": "#0b1326",
        },
        "base": {
            "50": "#f4f6f8",
            "100": "#eaeef2",
            "200": "#d5dbe3",
            "300": "#b4bfce",
            "400": "#a5b0c0",
            "500": "#66728a",
            "600": "#475264",
            "700": "#364050",
            "800": "#2c3442",
            "900": "#171c25",
            "950": "#0f131a",
        },
    },
}
