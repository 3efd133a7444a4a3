from orgs.models.applications import Application, Delegation, IssuedToken
from orgs.models.keys import CheckpointKey, DataKey, SigningKey, WitnessKey
from orgs.models.organizations import (
    CaptureLevel,
    IdentityProvider,
    Organization,
    SnapshotVersion,
    validate_paths,
)
from orgs.models.people import Group, GroupMembership, Identity, Membership, User
from orgs.models.searches import SavedSearch

__all__ = [
    "Application",
    "CaptureLevel",
    "CheckpointKey",
    "DataKey",
    "Delegation",
    "Group",
    "GroupMembership",
    "Identity",
    "IdentityProvider",
    "IssuedToken",
    "Membership",
    "Organization",
    "SavedSearch",
    "SigningKey",
    "SnapshotVersion",
    "User",
    "WitnessKey",
    "validate_paths",
]
