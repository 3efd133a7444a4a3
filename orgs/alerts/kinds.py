"""What of alerts a place can be told."""

from __future__ import annotations

from orgs.notices.kinds import Kind

KINDS = (
    Kind("alert.new_capability", "An application used a capability for the first time"),
    Kind("alert.denial_spike", "An application was denied far more often than usual"),
    Kind("alert.off_hours", "An application called outside of the organization's hours"),
    Kind("alert.new_network", "An application called from a network it had not called from"),
)
