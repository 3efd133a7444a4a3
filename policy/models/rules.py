"""Rules as stored. What they mean is in policy/engine, which knows nothing of this file."""

from __future__ import annotations

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q

from connections.models import Capability, Integration
from orgs.ids import uuid7
from orgs.models import Application, Group, Organization, User
from orgs.querysets import OrganizationOwnedQuerySet
from policy.querysets import RuleQuerySet


class Layer(models.TextChoices):
    ORG = "org", "Organization"
    USER = "user", "User"
    APPLICATION = "application", "Application"


class Effect(models.TextChoices):
    ALLOW = "allow", "Allow"
    DENY = "deny", "Deny"
    ASK = "ask", "Ask"


class Rule(models.Model):
    """Allow, deny or ask, in one of three layers.

    A rule matches a call when each of `user`, `group` and `application` that is set matches it. The layer says who
    speaks: org (administrators; at most one of the three set), user (the person in `user`, or their group's
    inheritance in `group`; perhaps only for one `application`), application (the owner of `application`).
    The target is an integration (null: every one) and a capability pattern, where `*` stands for any run of characters
    and empty means all, narrowed to a class if `klass` is set. `conditions` is policy.engine's JSON tree.
    """

    class Period(models.TextChoices):
        MINUTE = "minute", "a minute"
        HOUR = "hour", "an hour"
        DAY = "day", "a day"

    class Per(models.TextChoices):
        RULE = "rule", "Altogether"
        APPLICATION = "application", "For each application"
        USER = "user", "For each person"

    class Mode(models.TextChoices):
        ENFORCE = "enforce", "Enforced"
        SHADOW = "shadow", "Recorded, not applied"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="rules")
    layer = models.CharField(max_length=16, choices=Layer.choices)
    effect = models.CharField(max_length=8, choices=Effect.choices)
    user = models.ForeignKey(User, on_delete=models.CASCADE, null=True, blank=True, related_name="rules")
    group = models.ForeignKey(Group, on_delete=models.CASCADE, null=True, blank=True, related_name="rules")
    application = models.ForeignKey(Application, on_delete=models.CASCADE, null=True, blank=True, related_name="rules")
    integration = models.ForeignKey(Integration, on_delete=models.CASCADE, null=True, blank=True, related_name="rules")
    capability = models.CharField(max_length=255, blank=True)
    klass = models.CharField("class", max_length=16, choices=Capability.Klass.choices, blank=True)
    conditions = models.JSONField(null=True, blank=True)
    reason = models.CharField(max_length=255, blank=True)
    valid_from = models.DateTimeField(null=True, blank=True)
    valid_until = models.DateTimeField(null=True, blank=True)
    # How often an allow may be used; all three or none.
    limit_count = models.PositiveIntegerField("at most", null=True, blank=True, validators=[MinValueValidator(1)])
    limit_period = models.CharField("times", max_length=8, choices=Period.choices, blank=True)
    limit_per = models.CharField("counted", max_length=16, choices=Per.choices, blank=True)
    mode = models.CharField(max_length=8, choices=Mode.choices, default=Mode.ENFORCE)
    is_enabled = models.BooleanField("enabled", default=True)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = RuleQuerySet["Rule"].as_manager()

    class Meta:
        ordering = ("layer", "created_at")
        constraints = [
            models.CheckConstraint(
                condition=(
                    Q(layer="org", user__isnull=True, group__isnull=True)
                    | Q(layer="org", user__isnull=True, application__isnull=True)
                    | Q(layer="org", group__isnull=True, application__isnull=True)
                    | Q(layer="user", user__isnull=False, group__isnull=True)
                    | Q(layer="user", user__isnull=True, group__isnull=False)
                    | Q(layer="application", application__isnull=False, user__isnull=True, group__isnull=True)
                ),
                name="policy_rule_subject_fits_layer",
            ),
            models.CheckConstraint(
                condition=Q(valid_from__isnull=True)
                | Q(valid_until__isnull=True)
                | Q(valid_from__lt=models.F("valid_until")),
                name="policy_rule_validity_in_order",
            ),
            models.CheckConstraint(
                condition=Q(limit_count__isnull=True, limit_period="", limit_per="")
                | Q(limit_count__gte=1, limit_period__in=("minute", "hour", "day"), effect="allow")
                & Q(limit_per__in=("rule", "application", "user")),
                name="policy_rule_limit_whole_and_on_allow",
            ),
            # What references a rule (an approval, a request) can't be another organization's.
            models.UniqueConstraint(fields=("organization", "id"), name="policy_rule_in_organization"),
        ]

    def __str__(self) -> str:
        target = self.integration.slug if self.integration else "*"
        return f"{self.layer}: {self.effect} {target}:{self.capability or '*'}"


class LimitUse(models.Model):
    """How often a rule's limit was used in the period that began last, by what it counts together (`subject`)."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    rule = models.ForeignKey(Rule, on_delete=models.CASCADE, related_name="limit_uses")
    subject = models.UUIDField()
    began_at = models.DateTimeField()
    used = models.PositiveIntegerField()

    objects = OrganizationOwnedQuerySet["LimitUse"].as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=("rule", "subject"), name="policy_limituse_once")]

    def __str__(self) -> str:
        return f"{self.used} since {self.began_at:%Y-%m-%d %H:%M:%S}"


class Baseline(models.Model):
    """What a layer says when none of its rules matches. Without a row it denies."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="baselines")
    layer = models.CharField(max_length=16, choices=Layer.choices)
    effect = models.CharField(max_length=8, choices=Effect.choices)
    updated_at = models.DateTimeField(auto_now=True)

    objects = OrganizationOwnedQuerySet["Baseline"].as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=("organization", "layer"), name="policy_baseline_once")]

    def __str__(self) -> str:
        return f"{self.layer}: {self.effect}"
