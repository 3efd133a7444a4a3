"""What events that are not calls say to the person they are about."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from audit.models import AuditEvent
from audit.types import EventType

# Nothing a person did or could act on: what is renewed again and again would bury the rest.
RENEWALS = (EventType.TOKEN_ISSUED, EventType.CONNECTION_REFRESHED)

_SENTENCES: Mapping[str, str] = {
    EventType.SIGNED_IN: "You signed in",
    EventType.SIGN_IN_REFUSED: "A sign-in was refused",
    EventType.SIGNED_OUT: "You signed out",
    EventType.PERSON_CREATED: "You signed in for the first time",
    EventType.MEMBERSHIP_CHANGED: "A membership changed",
    EventType.PERSON_SUSPENDED: "Your access was suspended",
    EventType.GROUPS_CHANGED: "Your groups changed",
    EventType.TOKEN_REFUSED: "{application} was refused a token",
    EventType.TOKEN_REVOKED: "A token of {application} ended",
    EventType.DELEGATION_GRANTED: "You let {application} act for you",
    EventType.DELEGATION_REFUSED: "You refused to let {application} act for you",
    EventType.DELEGATION_REVOKED: "{application} no longer acts for you",
    EventType.DELEGATION_PAUSED: "You paused {application}",
    EventType.DELEGATION_RESUMED: "You let {application} act for you again",
    EventType.CONNECTION_STARTED: "You began to connect {integration}",
    EventType.CONNECTION_ACTIVATED: "{integration} was connected{account}",
    EventType.CONNECTION_FAILED: "The connection to {integration} failed",
    EventType.CONNECTION_REVOKED: "{integration} was disconnected",
    EventType.CONNECTION_REVOCATION_CONFIRMED: "{integration} was told that the connection ended",
    EventType.RULE_CREATED: "You added a rule: {sentence}",
    EventType.RULE_CHANGED: "You changed a rule: {sentence}",
    EventType.RULE_DELETED: "You deleted a rule: {sentence}",
    EventType.RULE_REQUESTED: "You asked for a rule: {sentence}",
    EventType.RULE_REQUEST_ACCEPTED: "You agreed to a request: {sentence}",
    EventType.RULE_REQUEST_DECLINED: "You declined a request: {sentence}",
    EventType.RULE_REQUEST_WITHDRAWN: "You took back a request: {sentence}",
    EventType.APPROVAL_REQUESTED: "{application} asked for an approval at {integration}",
    EventType.APPROVAL_APPROVED: "You approved a call to {integration} by {application}",
    EventType.APPROVAL_DENIED: "You denied a call to {integration} by {application}",
    EventType.APPROVAL_USED: "{application} used an approval at {integration}",
    EventType.APPROVAL_WITHDRAWN: "You took back an approval for {application} at {integration}",
}


@dataclass(frozen=True, slots=True)
class EventLine:
    """One event. `integration` is what the integration is called now, where there still is one."""

    event: AuditEvent
    integration: str = ""

    @property
    def sentence(self) -> str:
        event = self.event
        known = _SENTENCES.get(event.type)
        if known is None:
            return event.type.replace(".", ": ").replace("_", " ").capitalize()
        facts = {
            "application": event.application_name or event.details.get("application") or "an application",
            "integration": self.integration or event.integration or "an integration",
            "account": f" as {event.account}" if event.account else "",
            "sentence": event.details.get("sentence") or "see the details",
        }
        sentence = known.format_map(defaultdict(str, facts))
        return sentence[:1].upper() + sentence[1:]
