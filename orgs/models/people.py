"""Humans, the identity that keys each of them, and what an organization knows about them."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models

from orgs.ids import uuid7
from orgs.models.organizations import Organization
from orgs.querysets import MembershipQuerySet, OrganizationOwnedQuerySet


def _new_username() -> str:
    return str(uuid7())


class UserManager(BaseUserManager["User"]):
    def create_user(self, username: str | None = None, password: str | None = None, **fields: Any) -> User:
        """Create a person; without a password they can only sign in through an identity provider."""
        user = self.model(username=username or _new_username(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, username: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(username, password, **{**fields, "is_staff": True, "is_superuser": True})


class User(AbstractBaseUser, PermissionsMixin):
    """A human who delegates to applications. Keyed by Identity, never by e-mail, so `email` is not unique.

    `username` matters only to local administrators; people from an identity provider get an opaque one.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    username = models.CharField(max_length=254, unique=True, default=_new_username)
    email = models.EmailField(blank=True)
    name = models.CharField(max_length=255, blank=True)
    is_active = models.BooleanField("active", default=True)
    is_staff = models.BooleanField("may open the admin", default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "username"
    REQUIRED_FIELDS = ["email"]

    class Meta:
        ordering = ("name", "email")

    def __str__(self) -> str:
        return self.name or self.email or self.username

    def get_full_name(self) -> str:
        return str(self)

    def get_short_name(self) -> str:
        return (self.name.split() or [self.email or self.username])[0]


class Identity(models.Model):
    """A person at an identity provider: issuer and subject, compared byte for byte (OpenID Connect Core §5.7)."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="identities")
    issuer = models.CharField(max_length=255)
    subject = models.CharField(max_length=255)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "identities"
        constraints = [models.UniqueConstraint(fields=("issuer", "subject"), name="orgs_identity_issuer_subject")]

    def __str__(self) -> str:
        return f"{self.subject} at {self.issuer}"


class Membership(models.Model):
    """A person in an organization. Everything personal in an organization refers to (organization, user) here."""

    class Role(models.TextChoices):
        OWNER = "owner", "Owner"
        ADMIN = "admin", "Administrator"
        POLICY_AUTHOR = "policy_author", "Policy author"
        AUDITOR = "auditor", "Auditor"
        MEMBER = "member", "Member"

    class Status(models.TextChoices):
        ACTIVE = "active", "Active"
        SUSPENDED = "suspended", "Suspended"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.MEMBER)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.ACTIVE)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = MembershipQuerySet["Membership"].as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=("organization", "user"), name="orgs_membership_once")]

    def __str__(self) -> str:
        return f"{self.user} in {self.organization}"

    @property
    def is_administrator(self) -> bool:
        return self.role in (self.Role.OWNER, self.Role.ADMIN)


class Group(models.Model):
    """A set of people that rules refer to. `source` says who keeps it: the identity provider or an administrator."""

    class Source(models.TextChoices):
        IDP = "idp", "Identity provider"
        MANUAL = "manual", "Administrator"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="groups")
    name = models.CharField(max_length=255)
    source = models.CharField(max_length=16, choices=Source.choices, default=Source.MANUAL)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = OrganizationOwnedQuerySet["Group"].as_manager()

    class Meta:
        ordering = ("name",)
        constraints = [
            models.UniqueConstraint(fields=("organization", "id"), name="orgs_group_in_organization"),
            models.UniqueConstraint(fields=("organization", "name"), name="orgs_group_name"),
        ]

    def __str__(self) -> str:
        return self.name


class GroupMembership(models.Model):
    """A person in a group. What the identity provider said is replaced at each sign-in; what a person said stays."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    group = models.ForeignKey(Group, on_delete=models.CASCADE, related_name="group_memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="group_memberships")
    source = models.CharField(max_length=16, choices=Group.Source.choices, default=Group.Source.MANUAL)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = OrganizationOwnedQuerySet["GroupMembership"].as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=("group", "user"), name="orgs_groupmembership_once")]

    def __str__(self) -> str:
        return f"{self.user} in {self.group}"
