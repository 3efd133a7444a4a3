"""Every status that a page shows: the tone, the mark, and words that say the consequence too."""

from __future__ import annotations

from dataclasses import dataclass

MARKS = {"allow": "✓", "ask": "?", "deny": "✕", "silent": "\N{EN DASH}"}


@dataclass(frozen=True, slots=True)
class Status:
    tone: str
    words: str

    @property
    def mark(self) -> str:
        return MARKS[self.tone]


_STATUSES = {
    # connections, applications, memberships, integrations, capabilities
    "active": Status("allow", "Active"),
    "expiring": Status("ask", "Expires soon"),
    "pending": Status("ask", "Waiting for approval"),
    "reauthorization_required": Status("deny", "Reconnect needed: calls fail"),
    "error": Status("deny", "Error: calls fail"),
    "revoked": Status("silent", "Revoked"),
    "suspended": Status("deny", "Suspended: calls fail"),
    "expired": Status("silent", "Expired"),
    "paused": Status("ask", "Paused by you: calls are refused"),
    "draft": Status("silent", "Draft: not in use yet"),
    "disabled": Status("silent", "Switched off"),
    "held": Status("ask", "Held: definition changed"),
    "removed": Status("silent", "Gone from the integration"),
    "not_connected": Status("silent", "Not connected"),
    # approvals, and requests for rules
    "approved": Status("allow", "Approved"),
    "used": Status("allow", "Approved once, and used"),
    "withdrawn": Status("silent", "Withdrawn"),
    "accepted": Status("allow", "Accepted"),
    "declined": Status("deny", "Declined"),
    # deliveries of notices, and alerts
    "on_its_way": Status("ask", "On its way"),
    "delivered": Status("allow", "Delivered"),
    "failed": Status("deny", "Given up"),
    "open": Status("ask", "Open"),
    "acknowledged": Status("silent", "Acknowledged"),
    # effects of rules and decisions
    "allow": Status("allow", "Allow"),
    "ask": Status("ask", "Ask"),
    "deny": Status("deny", "Deny"),
    "depends": Status("ask", "Depends on the arguments"),
    # outcomes of audit events
    "": Status("silent", "In progress"),
    "ok": Status("allow", "Done"),
    "denied": Status("deny", "Denied"),
    "error_remote": Status("deny", "Failed at the integration"),
    "error_proxy": Status("deny", "Failed in the gateway"),
    "error_auth": Status("deny", "Not authenticated"),
    "cancelled": Status("silent", "Cancelled"),
}


def get_status(value: str, words: str = "") -> Status:
    """Return how a status is shown. An unknown one is shown as it is, in neutral."""
    known = _STATUSES.get(value, Status("silent", value.replace("_", " ").capitalize()))
    return Status(known.tone, words) if words else known
