from orgs.models.applications import Application, Delegation, IssuedToken
from orgs.models.keys import CheckpointKey, DataKey, SigningKey
from orgs.models.organizations import IdentityProvider, Organization, SnapshotVersion
from orgs.models.people import Group, GroupMembership, Identity, Membership, User

__all__ = [
    "Application",
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
    "SigningKey",
    "SnapshotVersion",
    "User",
]
