"""The vocabulary of the log. Adding a type here is how a new kind of event comes to exist."""

from __future__ import annotations

from enum import StrEnum


class EventType(StrEnum):
    CAPABILITY_INVOKED = "capability.invoked"
    CAPABILITIES_DISCOVERED = "capability.discovered"
    CAPABILITY_HELD = "capability.held"
    CAPABILITY_ACCEPTED = "capability.accepted"
    CREDENTIAL_ISSUED = "credential.issued"
    CAPABILITY_CLASS_CONFIRMED = "capability.class_confirmed"
    CONNECTION_STARTED = "connection.started"
    CONNECTION_REFUSED = "connection.refused"
    CONNECTION_ACTIVATED = "connection.activated"
    CONNECTION_REFRESHED = "connection.refreshed"
    CONNECTION_FAILED = "connection.failed"
    CONNECTION_REVOKED = "connection.revoked"
    CONNECTION_REVOCATION_CONFIRMED = "connection.revocation_confirmed"
    SIGNED_IN = "person.signed_in"
    SIGN_IN_REFUSED = "person.sign_in_refused"
    SIGNED_OUT = "person.signed_out"
    PERSON_CREATED = "person.created"
    PERSON_CHANGED = "person.changed"
    PERSON_SUSPENDED = "person.suspended"
    GROUPS_CHANGED = "person.groups_changed"
    TOKEN_ISSUED = "token.issued"  # noqa: S105
    TOKEN_REFUSED = "token.refused"  # noqa: S105
    TOKEN_REVOKED = "token.revoked"  # noqa: S105
    DELEGATION_GRANTED = "delegation.granted"
    DELEGATION_REFUSED = "delegation.refused"
    DELEGATION_REVOKED = "delegation.revoked"
    APPLICATION_REGISTERED = "application.registered"
    APPLICATION_CHANGED = "application.changed"
    APPLICATION_SECRET_ROTATED = "application.secret_rotated"  # noqa: S105
    APPLICATION_DELETED = "application.deleted"
    INTEGRATION_ADDED = "integration.added"
    INTEGRATION_CHANGED = "integration.changed"
    INTEGRATION_DISCOVERED = "integration.discovered"
    INTEGRATION_DELETED = "integration.deleted"
    RULE_CREATED = "rule.created"
    RULE_CHANGED = "rule.changed"
    RULE_DELETED = "rule.deleted"
    BASELINE_CHANGED = "baseline.changed"
    ORGANIZATION_CREATED = "organization.created"
    ORGANIZATION_CHANGED = "organization.changed"
    IDENTITY_PROVIDER_CHANGED = "identity_provider.changed"
    MEMBERSHIP_CHANGED = "membership.changed"
    GROUP_CHANGED = "group.changed"
    KEY_ROTATED = "key.rotated"
    ADMIN_CHANGED = "admin.changed"
    MANAGEMENT_REFUSED = "management.refused"
