"""What a refused person asks of whoever could change it."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone

from connections.models import Integration
from orgs.ids import uuid7
from orgs.models import Application, Organization, User
from orgs.querysets import OrganizationOwnedQuerySet
from policy.models.rules import Layer, Rule


class RuleRequest(models.Model):
    """A proposal out of the explanation of a refused call, for those who may write such a rule.

    ADD proposes that `application` may use `capability` of `integration`, said in `layer`; REMOVE proposes that `rule`,
    which denies, goes. Once accepted, `rule` is the rule that was written. `proposal` is a digest of what is proposed:
    a person has one open request for each. `sentence` is how the proposal reads, `call` the refused call.
    """

    class Action(models.TextChoices):
        ADD = "add", "Add a rule"
        REMOVE = "remove", "Remove a rule"

    class Status(models.TextChoices):
        PENDING = "pending", "Waits for an answer"
        ACCEPTED = "accepted", "Accepted"
        DECLINED = "declined", "Declined"
        WITHDRAWN = "withdrawn", "Withdrawn"
        EXPIRED = "expired", "Expired"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="rule_requests")
    asker = models.ForeignKey(User, on_delete=models.CASCADE, related_name="rule_requests")
    action = models.CharField(max_length=16, choices=Action.choices)
    layer = models.CharField(max_length=16, choices=Layer.choices)
    application = models.ForeignKey(Application, on_delete=models.CASCADE, related_name="rule_requests")
    integration = models.ForeignKey(Integration, on_delete=models.CASCADE, related_name="rule_requests")
    capability = models.CharField(max_length=255)
    rule = models.ForeignKey(Rule, on_delete=models.SET_NULL, null=True, blank=True, related_name="requests")
    proposal = models.CharField(max_length=64)
    sentence = models.CharField(max_length=1000)
    note = models.CharField(max_length=500, blank=True)
    call = models.UUIDField()
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.PENDING)
    answer = models.CharField(max_length=500, blank=True)
    settled_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    settled_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()

    objects = OrganizationOwnedQuerySet["RuleRequest"].as_manager()

    class Meta:
        ordering = ("-created_at",)
        constraints = [
            models.UniqueConstraint(
                fields=("organization", "asker", "proposal"),
                condition=Q(status="pending"),
                name="policy_rulerequest_asked_once",
            ),
            models.CheckConstraint(
                condition=Q(status="pending", settled_at__isnull=True)
                | (~Q(status="pending") & Q(settled_at__isnull=False)),
                name="policy_rulerequest_settled_at_a_time",
            ),
        ]

    def __str__(self) -> str:
        return self.sentence

    @property
    def is_waiting(self) -> bool:
        """Whether somebody can still answer: the row says so only after a while."""
        return self.status == self.Status.PENDING and self.expires_at > timezone.now()
