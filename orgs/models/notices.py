"""What an organization is told, where, and whether it arrived."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from orgs.ids import uuid7
from orgs.models.organizations import Organization
from orgs.models.people import User
from orgs.querysets import DeliveryQuerySet, NoticePlaceQuerySet, OrganizationOwnedQuerySet


class NoticePlace(models.Model):
    """An address that an organization is told at: of every kind of notice, or of the `kinds` that are named.

    `secret` is the key that signs what a webhook gets, and `former_secret`, until `former_until`, the one before it:
    both are ciphertexts of orgs.vault. An e-mail address has neither.
    """

    class Means(models.TextChoices):
        EMAIL = "email", "E-mail"
        WEBHOOK = "webhook", "Webhook"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="notice_places")
    name = models.CharField(max_length=120)
    means = models.CharField(max_length=16, choices=Means.choices)
    address = models.CharField(max_length=500)
    kinds = ArrayField(models.CharField(max_length=64), default=list, blank=True)
    is_enabled = models.BooleanField(default=True)
    secret = models.BinaryField(default=bytes, blank=True, editable=False)
    former_secret = models.BinaryField(default=bytes, blank=True, editable=False)
    former_until = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = NoticePlaceQuerySet["NoticePlace"].as_manager()

    class Meta:
        ordering = ("name",)
        constraints = [
            models.UniqueConstraint(fields=("organization", "id"), name="orgs_noticeplace_in_organization"),
            models.UniqueConstraint(
                fields=("organization", "means", "address"),
                name="orgs_noticeplace_once",
                violation_error_message="The organization is told there already.",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Notice(models.Model):
    """Something to be told, written in the transaction of what it tells of. Its key is the webhook's `webhook-id`.

    `subject` is one line, `text` says more, `path` leads to the page in this installation, and `data` is what programs
    get of it. Nothing here is ever a secret.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="notices")
    kind = models.CharField(max_length=64)
    subject = models.CharField(max_length=255)
    text = models.TextField()
    path = models.CharField(max_length=500, blank=True, default="")
    data = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = OrganizationOwnedQuerySet["Notice"].as_manager()

    class Meta:
        ordering = ("-id",)
        constraints = [models.UniqueConstraint(fields=("organization", "id"), name="orgs_notice_in_organization")]

    def __str__(self) -> str:
        return self.subject


class Delivery(models.Model):
    """A notice on its way to one place, or by e-mail to the person whom it concerns.

    Until `due_at` nobody tries: somebody does so now, or it rests. `address` stays when the place is gone.
    """

    class State(models.TextChoices):
        PENDING = "pending", "On its way"
        DELIVERED = "delivered", "Delivered"
        FAILED = "failed", "Given up"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="deliveries")
    notice = models.ForeignKey(Notice, on_delete=models.CASCADE, related_name="deliveries")
    place = models.ForeignKey(NoticePlace, on_delete=models.SET_NULL, null=True, blank=True, related_name="deliveries")
    user = models.ForeignKey(User, on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    address = models.CharField(max_length=500)
    state = models.CharField(max_length=16, choices=State.choices, default=State.PENDING)
    tries = models.PositiveIntegerField(default=0)
    due_at = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=255, blank=True, default="")
    delivered_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = DeliveryQuerySet["Delivery"].as_manager()

    class Meta:
        ordering = ("-id",)
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(fields=("notice", "place"), name="orgs_delivery_once_per_place"),
            models.UniqueConstraint(fields=("notice", "user"), name="orgs_delivery_once_per_person"),
            models.CheckConstraint(condition=~Q(state="pending") | Q(due_at__isnull=False), name="orgs_delivery_due"),
        ]
        indexes = [models.Index(fields=("due_at",), condition=Q(state="pending"), name="orgs_delivery_by_due")]

    def __str__(self) -> str:
        return f"{self.notice} to {self.address}"
