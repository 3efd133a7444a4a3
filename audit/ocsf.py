"""Events as OCSF 1.3 has them (schema.ocsf.io), for whoever collects security events of many products.

VOCABULARY says of every type what it is about and which class and activity it becomes; docs/audit-events.md is the same
as a page. What OCSF has no name for goes into `unmapped`, under our own names.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from audit.models import AuditEvent
from audit.types import EventType

VERSION = "1.3.0"


class Class(IntEnum):
    ACCOUNT_CHANGE = 3001
    AUTHENTICATION = 3002
    ENTITY_MANAGEMENT = 3004
    USER_ACCESS = 3005
    API_ACTIVITY = 6003


OTHER = 99
_CREATE, _UPDATE, _DELETE = 1, 3, 4


@dataclass(frozen=True)
class Meaning:
    """What a type says, for people, and what it is in OCSF. `verb` names an activity that OCSF has no number for."""

    text: str
    klass: Class
    activity: int
    verb: str = ""

    @property
    def type_uid(self) -> int:
        return self.klass * 100 + self.activity


def _entity(text: str, activity: int) -> Meaning:
    return Meaning(text, Class.ENTITY_MANAGEMENT, activity)


def _access(text: str, activity: int) -> Meaning:
    return Meaning(text, Class.USER_ACCESS, activity)


VOCABULARY: dict[EventType, Meaning] = {
    EventType.CAPABILITY_INVOKED: Meaning(
        "An application called a capability: requested and completed, or denied", Class.API_ACTIVITY, OTHER, "Invoke"
    ),
    EventType.CAPABILITIES_DISCOVERED: _entity("An integration's capabilities were read", _UPDATE),
    EventType.CAPABILITY_HELD: _entity("A capability's definition changed: it is held until accepted", _UPDATE),
    EventType.CAPABILITY_ACCEPTED: _entity("A changed definition was accepted", _UPDATE),
    EventType.CREDENTIAL_ISSUED: Meaning(
        "An application got a short-lived credential", Class.API_ACTIVITY, OTHER, "Issue Credential"
    ),
    EventType.CAPABILITY_CLASS_CONFIRMED: _entity("Somebody said whether a capability reads or writes", _UPDATE),
    EventType.CONNECTION_STARTED: _entity("A person began to connect an integration", _CREATE),
    EventType.CONNECTION_REFUSED: _entity("A connection did not come about", _CREATE),
    EventType.CONNECTION_ACTIVATED: _entity("A connection is in use from now on", _CREATE),
    EventType.CONNECTION_REFRESHED: _entity("A connection's credential was renewed", _UPDATE),
    EventType.CONNECTION_FAILED: _entity("A connection's credential could not be renewed", _UPDATE),
    EventType.CONNECTION_REVOKED: _entity("A connection was ended", _DELETE),
    EventType.CONNECTION_REVOCATION_CONFIRMED: _entity("What the integration said to the end of it", _DELETE),
    EventType.SIGNED_IN: Meaning("A person signed in", Class.AUTHENTICATION, 1),
    EventType.SIGN_IN_REFUSED: Meaning("A sign-in was refused", Class.AUTHENTICATION, 1),
    EventType.SIGNED_OUT: Meaning("A person signed out", Class.AUTHENTICATION, 2),
    EventType.PERSON_CREATED: Meaning("A person was added", Class.ACCOUNT_CHANGE, 1),
    EventType.PERSON_CHANGED: Meaning("A person's account was changed", Class.ACCOUNT_CHANGE, OTHER, "Change"),
    EventType.PERSON_SUSPENDED: Meaning("A person was suspended, or let in again", Class.ACCOUNT_CHANGE, 5),
    EventType.GROUPS_CHANGED: Meaning("A person's groups changed", Class.ACCOUNT_CHANGE, OTHER, "Change Groups"),
    EventType.TOKEN_ISSUED: Meaning("An application got a token", Class.AUTHENTICATION, OTHER, "Issue Token"),
    EventType.TOKEN_REFUSED: Meaning("An application was refused a token", Class.AUTHENTICATION, OTHER, "Issue Token"),
    EventType.TOKEN_REVOKED: Meaning("A token was revoked", Class.AUTHENTICATION, OTHER, "Revoke Token"),
    EventType.DELEGATION_GRANTED: _access("A person let an application act for them", 1),
    EventType.DELEGATION_REFUSED: _access("A person refused to let an application act for them", 1),
    EventType.DELEGATION_REVOKED: _access("An application no longer acts for a person", 2),
    EventType.DELEGATION_PAUSED: _access("A person paused an application that acts for them", 2),
    EventType.DELEGATION_RESUMED: _access("A person let a paused application act for them again", 1),
    EventType.APPLICATION_REGISTERED: _entity("An application was registered", _CREATE),
    EventType.APPLICATION_CHANGED: _entity("An application was changed", _UPDATE),
    EventType.APPLICATION_SECRET_ROTATED: _entity("An application got a new secret", _UPDATE),
    EventType.APPLICATION_DELETED: _entity("An application was deleted", _DELETE),
    EventType.INTEGRATION_ADDED: _entity("An integration was added", _CREATE),
    EventType.INTEGRATION_CHANGED: _entity("An integration was changed", _UPDATE),
    EventType.INTEGRATION_DISCOVERED: _entity("An integration was looked at anew", _UPDATE),
    EventType.INTEGRATION_DELETED: _entity("An integration was deleted", _DELETE),
    EventType.RULE_CREATED: _entity("A rule was made", _CREATE),
    EventType.RULE_CHANGED: _entity("A rule was changed", _UPDATE),
    EventType.RULE_DELETED: _entity("A rule was deleted", _DELETE),
    EventType.RULE_REQUESTED: _entity("Somebody asked for a rule", _CREATE),
    EventType.RULE_REQUEST_ACCEPTED: _entity("A rule that was asked for was made", _UPDATE),
    EventType.RULE_REQUEST_DECLINED: _entity("A rule that was asked for was declined", _UPDATE),
    EventType.RULE_REQUEST_WITHDRAWN: _entity("A request for a rule was withdrawn", _DELETE),
    EventType.RULE_REQUEST_EXPIRED: _entity("A request for a rule was not answered in time", _DELETE),
    EventType.APPROVAL_REQUESTED: _entity("A call waits for approval", _CREATE),
    EventType.APPROVAL_APPROVED: _entity("A call was approved", _UPDATE),
    EventType.APPROVAL_DENIED: _entity("A call was not approved", _UPDATE),
    EventType.APPROVAL_USED: _entity("An approval was used by the call it was for", _UPDATE),
    EventType.APPROVAL_EXPIRED: _entity("An approval was not given or used in time", _DELETE),
    EventType.APPROVAL_WITHDRAWN: _entity("An approval was taken back", _DELETE),
    EventType.BASELINE_CHANGED: _entity("What a layer says without rules was changed", _UPDATE),
    EventType.ORGANIZATION_CREATED: _entity("An organization was made", _CREATE),
    EventType.ORGANIZATION_CHANGED: _entity("An organization was changed", _UPDATE),
    EventType.IDENTITY_PROVIDER_CHANGED: _entity("How people sign in was changed", _UPDATE),
    EventType.MEMBERSHIP_CHANGED: _access("A person's role was changed", 1),
    EventType.GROUP_CHANGED: _entity("A group was made, changed or deleted", _UPDATE),
    EventType.KEY_ROTATED: _entity("The installation signs with a new key", _UPDATE),
    EventType.AUDIT_EXPORTED: Meaning("The audit trail was exported", Class.API_ACTIVITY, 2),
    EventType.AUDIT_DROPPED: _entity("A month of the audit trail was dropped, as it is kept no longer", _DELETE),
    EventType.PAYLOAD_VIEWED: Meaning("Somebody looked at what was kept of a call's content", Class.API_ACTIVITY, 2),
    EventType.PAYLOADS_ERASED: _entity("What was kept of a person's calls was erased", _DELETE),
    EventType.WITNESS_REFUSED: _entity("A log that is witnessed here showed another history than before", _UPDATE),
    EventType.SEARCH_SAVED: _entity("A search of the audit trail was saved", _CREATE),
    EventType.SEARCH_CHANGED: _entity("A saved search was changed", _UPDATE),
    EventType.SEARCH_DELETED: _entity("A saved search was deleted", _DELETE),
    EventType.ALERT_RAISED: _entity("Something unusual was found in the audit trail", _CREATE),
    EventType.ALERT_ACKNOWLEDGED: _entity("Somebody has looked into an alert", _UPDATE),
    EventType.ALERT_SETTINGS_CHANGED: _entity("What an organization is alerted of was changed", _UPDATE),
    EventType.NOTICE_PLACE_CHANGED: _entity("Where an organization is told of alerts was changed", _UPDATE),
    EventType.NOTICE_FAILED: _entity("A notice did not arrive, and is not tried again", _UPDATE),
    EventType.ADMIN_CHANGED: _entity("Something was changed in the admin", _UPDATE),
    EventType.MANAGEMENT_REFUSED: _entity("An attempt to change something was refused", _UPDATE),
}

_STATUS = {"ok": (1, "Success"), "": (0, "Unknown"), "cancelled": (OTHER, "Cancelled")}
_FAILURE = (2, "Failure")
# A refusal is worth a look, and what failed in between is worth less.
_SEVERITY = {"ok": 1, "": 1, "cancelled": 1, "denied": 3, "error_auth": 3}
_LOW = 2


def to_ocsf(event: AuditEvent, *, sequence: int | None = None) -> dict[str, Any]:
    """Return the event as an OCSF object, ready for JSON. A type of a later release becomes an entity's update.

    `sequence` is its place in its organization's tree, once it has one.
    """
    meaning = describe(event)
    status, caption = _STATUS.get(event.outcome, _FAILURE)
    return {
        "category_uid": meaning.klass // 1000,
        "class_uid": int(meaning.klass),
        "activity_id": meaning.activity,
        **_some(activity_name=meaning.verb),
        "type_uid": meaning.type_uid,
        "severity_id": _SEVERITY.get(event.outcome, _LOW),
        "status_id": status,
        "status": caption,
        "time": int(event.occurred_at.timestamp() * 1000),
        "message": meaning.text,
        "metadata": {**_describe_source(event), **_some(sequence=sequence)},
        "actor": _some(user=_person(event), app_name=event.application_name, app_uid=_text(event.application_id)),
        **_some(src_endpoint=_some(ip=event.source_address), duration=_milliseconds(event.latency_us)),
        **_CLASS_FIELDS[meaning.klass](event),
        "unmapped": _some(
            outcome=event.outcome,
            phase=event.phase,
            call=_text(event.call_id),
            session=event.session,
            trace_id=event.trace_id,
            connection_id=_text(event.connection_id),
            account=event.account,
            policy_version=event.policy_version,
            decision=event.decision,
            arguments_digest=event.arguments_digest,
            details=event.details,
        ),
    }


def describe(event: AuditEvent) -> Meaning:
    known = event.type in set(EventType)
    return VOCABULARY[EventType(event.type)] if known else _entity(event.type, OTHER)


def _describe_source(event: AuditEvent) -> dict[str, Any]:
    product = {"name": "Kontext", "vendor_name": "Kontext"}
    return {
        "version": VERSION,
        "product": product,
        "uid": str(event.pk),
        "event_code": event.type,
        "logged_time": int(event.recorded_at.timestamp() * 1000),
        **_some(tenant_uid=_text(event.organization_id), correlation_uid=event.request_id),
    }


def _person(event: AuditEvent) -> dict[str, Any]:
    return _some(uid=_text(event.user_id), name=event.user_name)


def _describe_call(event: AuditEvent) -> dict[str, Any]:
    request = _some(uid=event.request_id)
    service = _some(name=event.integration, uid=_text(event.integration_id))
    api = {"operation": event.target or event.type, **_some(request=request, service=service)}
    # Required by the class, and unknown for what a command line or the system itself does.
    return {"api": api, "src_endpoint": _some(ip=event.source_address) or {"name": "unknown"}}


def _describe_entity(event: AuditEvent) -> dict[str, Any]:
    kind = event.type.partition(".")[0]
    return {"entity": {"type": kind, "name": event.target or kind}}


def _describe_user(event: AuditEvent) -> dict[str, Any]:
    return {"user": _person(event) or {"name": "unknown"}}


def _describe_sign_in(event: AuditEvent) -> dict[str, Any]:
    return {**_describe_user(event), "service": {"name": "Kontext"}}


def _describe_access(event: AuditEvent) -> dict[str, Any]:
    return {**_describe_user(event), "privileges": [event.application_name or event.target or "member"]}


_CLASS_FIELDS = {
    Class.ACCOUNT_CHANGE: _describe_user,
    Class.AUTHENTICATION: _describe_sign_in,
    Class.ENTITY_MANAGEMENT: _describe_entity,
    Class.USER_ACCESS: _describe_access,
    Class.API_ACTIVITY: _describe_call,
}


def _some(**values: Any) -> dict[str, Any]:
    """Return those that say anything: OCSF leaves out what is unknown."""
    return {name: value for name, value in values.items() if value not in (None, "", {})}


def _text(value: Any) -> str:
    return str(value) if value is not None else ""


def _milliseconds(microseconds: int | None) -> int | None:
    return microseconds // 1000 if microseconds is not None else None
