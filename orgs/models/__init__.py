from orgs.models.alerts import (
    Alert,
    AlertKind,
    AlertSettings,
    AlertWatch,
    DenialCount,
    SeenCapability,
    SeenNetwork,
)
from orgs.models.applications import Application, Delegation, IssuedToken
from orgs.models.keys import CheckpointKey, DataKey, SigningKey, WitnessKey
from orgs.models.notices import Delivery, Notice, NoticePlace
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
    "Alert",
    "AlertKind",
    "AlertSettings",
    "AlertWatch",
    "Application",
    "CaptureLevel",
    "CheckpointKey",
    "DataKey",
    "Delegation",
    "Delivery",
    "DenialCount",
    "Group",
    "GroupMembership",
    "Identity",
    "IdentityProvider",
    "IssuedToken",
    "Membership",
    "Notice",
    "NoticePlace",
    "Organization",
    "SavedSearch",
    "SeenCapability",
    "SeenNetwork",
    "SigningKey",
    "SnapshotVersion",
    "User",
    "WitnessKey",
    "validate_paths",
]
