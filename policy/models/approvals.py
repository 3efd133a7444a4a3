"""What a layer asks about a call, and the answer."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone

from connections.models import Capability, Integration
from orgs.ids import uuid7
from orgs.models import Application, Organization, User
from policy.models.rules import Layer, Rule
from policy.querysets import ApprovalQuerySet


class Approval(models.Model):
    """One layer's question about one call, from being asked until the answer is used up.

    Bound to who asked (`user` null: the application acts for itself), the application, the capability, the arguments'
    digest and what asks (`asked_by`, as policy.engine.questions identifies it); `question` is a digest of them all.
    `arguments` is a ciphertext of orgs.vault that opens for this row alone, kept only while somebody has yet to decide.
    `expires_at` is until when it can be decided, then until when the decision counts; null for one that is a `rule`.
    `call` is the first call that asked, `code` what the person compares with what their application shows.
    A trigger keeps what was asked from changing, and what was decided from being decided again.
    """

    class Status(models.TextChoices):
        PENDING = "pending", "Waits for an answer"
        APPROVED = "approved", "Approved"
        DENIED = "denied", "Denied"
        USED = "used", "Approved once, and used"
        EXPIRED = "expired", "Expired"
        WITHDRAWN = "withdrawn", "Withdrawn"

    class Scope(models.TextChoices):
        ONCE = "once", "Once"
        ARGUMENTS = "arguments", "With these arguments, for a time"
        PERIOD = "period", "With any arguments, for a time"
        RULE = "rule", "As a rule"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="approvals")
    layer = models.CharField(max_length=16, choices=Layer.choices)
    user = models.ForeignKey(User, on_delete=models.CASCADE, null=True, blank=True, related_name="approvals")
    application = models.ForeignKey(Application, on_delete=models.CASCADE, related_name="approvals")
    integration = models.ForeignKey(Integration, on_delete=models.CASCADE, related_name="approvals")
    kind = models.CharField(max_length=16)
    capability = models.CharField(max_length=2048)
    klass = models.CharField("class", max_length=16, choices=Capability.Klass.choices, blank=True)
    arguments_digest = models.CharField(max_length=64)
    arguments = models.BinaryField(default=bytes, blank=True, editable=False)
    asked_by = ArrayField(models.CharField(max_length=80))
    question = models.CharField(max_length=64)
    policy_version = models.BigIntegerField()
    call = models.UUIDField()
    code = models.CharField(max_length=16)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.PENDING)
    scope = models.CharField(max_length=16, choices=Scope.choices, blank=True)
    rule = models.ForeignKey(Rule, on_delete=models.SET_NULL, null=True, blank=True, related_name="approvals")
    answer = models.CharField(max_length=255, blank=True)
    settled_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    settled_at = models.DateTimeField(null=True, blank=True)
    used_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)

    objects = ApprovalQuerySet["Approval"].as_manager()

    class Meta:
        ordering = ("-created_at",)
        constraints = [
            models.UniqueConstraint(
                fields=("organization", "question"), condition=Q(status="pending"), name="policy_approval_asked_once"
            ),
            models.CheckConstraint(
                condition=Q(status="pending") | Q(arguments=b""), name="policy_approval_settled_without_arguments"
            ),
            models.CheckConstraint(
                condition=Q(status="pending", settled_at__isnull=True)
                | (~Q(status="pending") & Q(settled_at__isnull=False)),
                name="policy_approval_settled_at_a_time",
            ),
            models.CheckConstraint(
                condition=Q(status__in=("pending", "denied"), scope="")
                | Q(status="expired")
                | Q(status="used", scope="once", used_at__isnull=False)
                | (Q(status__in=("approved", "withdrawn")) & ~Q(scope="")),
                name="policy_approval_scope_fits_status",
            ),
            models.CheckConstraint(
                condition=Q(scope="rule", expires_at__isnull=True) | (~Q(scope="rule") & Q(expires_at__isnull=False)),
                name="policy_approval_expires",
            ),
            models.CheckConstraint(
                condition=~Q(layer="user") | Q(user__isnull=False), name="policy_approval_user_layer_has_user"
            ),
        ]
        indexes = [
            models.Index(fields=("organization", "application", "user"), name="policy_approval_by_topic"),
            models.Index(
                fields=("expires_at",), condition=Q(status__in=("pending", "approved")), name="policy_approval_live"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.target} by {self.application}"

    @property
    def is_over(self) -> bool:
        return self.expires_at is not None and self.expires_at <= timezone.now()

    @property
    def is_waiting(self) -> bool:
        """Whether somebody can still answer."""
        return self.status == self.Status.PENDING and not self.is_over

    @property
    def target(self) -> str:
        return f"{self.integration.slug}:{self.capability}"
