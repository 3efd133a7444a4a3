"""The append-only log. Identifiers and names are copied in, so an event outlives what it names."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from uuid_utils.compat import uuid7

from audit.merkle import EMPTY_ROOT
from audit.querysets import AuditEventQuerySet, HourlyCountQuerySet, PayloadKeyQuerySet, PayloadQuerySet, TreeQuerySet


class Phase(models.TextChoices):
    """Where an event stands in a call: two events per invocation, one for a denial, none of it for anything else."""

    NONE = "", "not a call"
    REQUESTED = "requested", "requested"
    COMPLETED = "completed", "completed"
    DENIED = "denied", "denied"


class Outcome(models.TextChoices):
    NONE = "", "pending"
    OK = "ok", "ok"
    DENIED = "denied", "denied"
    ERROR_REMOTE = "error_remote", "failed at the integration"
    ERROR_PROXY = "error_proxy", "failed in the gateway"
    ERROR_AUTH = "error_auth", "authentication failed"
    CANCELLED = "cancelled", "cancelled"


class AuditEvent(models.Model):
    """One immutable record. UPDATE, DELETE and TRUNCATE are refused by triggers in PostgreSQL.

    `call` and `phase` together are unique: a writer that retries after a lost answer adds nothing. `call` also says
    in which month's partition the event is (audit.partitions), so what belongs to no call has its own identifier there;
    ask `call_id`, or whether there is a phase. In PostgreSQL `id` is unique within a partition only.
    `arguments_digest` is hex HMAC-SHA-256 under a key of the organization; `latency_us` is in microseconds.
    `decision` is the explanation as policy.engine gives it. Nothing here is ever a secret.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization_id = models.UUIDField(null=True, blank=True)
    type = models.CharField(max_length=64)
    occurred_at = models.DateTimeField()
    recorded_at = models.DateTimeField(db_default=Now(), editable=False)
    call = models.UUIDField(blank=True, editable=False)
    phase = models.CharField(max_length=16, choices=Phase.choices, blank=True, default="")
    outcome = models.CharField(max_length=16, choices=Outcome.choices, blank=True, default="")
    user_id = models.UUIDField(null=True, blank=True)
    user_name = models.CharField(max_length=255, blank=True, default="")
    application_id = models.UUIDField(null=True, blank=True)
    application_name = models.CharField(max_length=255, blank=True, default="")
    integration_id = models.UUIDField(null=True, blank=True)
    integration = models.CharField(max_length=64, blank=True, default="")
    capability = models.CharField(max_length=255, blank=True, default="")
    connection_id = models.UUIDField(null=True, blank=True)
    account = models.CharField(max_length=255, blank=True, default="")
    session = models.CharField(max_length=128, blank=True, default="")
    request_id = models.CharField(max_length=64, blank=True, default="")
    trace_id = models.CharField(max_length=32, blank=True, default="")
    source_address = models.GenericIPAddressField(null=True, blank=True)
    policy_version = models.BigIntegerField(null=True, blank=True)
    decision = models.JSONField(null=True, blank=True)
    arguments_digest = models.CharField(max_length=64, blank=True, default="")
    latency_us = models.BigIntegerField(null=True, blank=True)
    details = models.JSONField(default=dict, blank=True)

    objects = AuditEventQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        constraints = [
            models.UniqueConstraint(fields=("call", "phase"), name="audit_event_once_per_phase"),
            models.CheckConstraint(
                condition=~Q(phase="") | Q(call=F("id")), name="audit_event_without_phase_is_no_call"
            ),
        ]
        indexes = [
            models.Index(fields=("organization_id", "-id"), name="audit_event_by_organization"),
            models.Index(fields=("organization_id", "user_id", "-id"), name="audit_event_by_user"),
            models.Index(fields=("organization_id", "application_id", "-id"), name="audit_event_by_application"),
            # What people paste: found at any time, where reading even a day of a long log would take too long. Without
            # the key of the event, equal values share an entry: a fifth of the size, and few are left to be sorted.
            *(
                models.Index(fields=("organization_id", column), condition=~Q(**{column: ""}), name=name)
                for column, name in (
                    ("session", "audit_event_by_session"),
                    ("trace_id", "audit_event_by_trace"),
                    ("request_id", "audit_event_by_request"),
                )
            ),
            models.Index(
                fields=("organization_id", "source_address"),
                condition=Q(source_address__isnull=False),
                name="audit_event_by_address",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.id}"

    def save(self, *args: Any, **options: Any) -> None:
        self.call = self.call or self.id
        super().save(*args, **options)

    @property
    def call_id(self) -> UUID | None:
        """The invocation that the event is part of."""
        return self.call if self.phase else None

    @property
    def target(self) -> str:
        """What was acted on, in a word: a capability with its integration, an integration, or a name; perhaps empty."""
        if self.capability:
            return self.capability if ":" in self.capability else f"{self.integration}:{self.capability}"
        return self.integration or str(self.details.get("name") or self.details.get("sentence") or "")


class PayloadKey(models.Model):
    """The key to what was kept of one person's calls in one organization, or of an application's for itself.

    `sealed_key` is a ciphertext of orgs.vault. Erasing empties it, for good, and then says when and by whom; nothing
    else can be changed, and no row deleted (triggers). A person who calls again gets another key.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization_id = models.UUIDField()
    user_id = models.UUIDField(null=True, blank=True)
    application_id = models.UUIDField(null=True, blank=True)
    sealed_key = models.BinaryField(editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    erased_at = models.DateTimeField(null=True, blank=True)
    erased_by = models.CharField(max_length=255, blank=True, default="")

    objects = PayloadKeyQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=("organization_id", "user_id", "application_id"),
                condition=Q(erased_at=None),
                nulls_distinct=False,
                name="audit_payloadkey_one_in_use",
            ),
            models.CheckConstraint(
                condition=Q(user_id=None, application_id__isnull=False) | Q(user_id__isnull=False, application_id=None),
                name="audit_payloadkey_of_one",
            ),
            models.CheckConstraint(
                condition=Q(erased_at__isnull=True) ^ Q(sealed_key=b""), name="audit_payloadkey_erased_is_empty"
            ),
        ]

    def __str__(self) -> str:
        return f"payload key {self.id}"


class Payload(models.Model):
    """What was kept of a call's content at one event (audit.capture), sealed with the key of whose call it was.

    Written with its event, in one statement. The event has a digest of what is in `sealed`, and no more: it and its
    tree stay as they are when the key is erased. Only then can a row be deleted, and none changed (triggers).
    """

    pk = models.CompositePrimaryKey("call", "phase")
    call = models.UUIDField()
    phase = models.CharField(max_length=16, choices=Phase.choices)
    organization_id = models.UUIDField()
    key_id = models.UUIDField(db_index=True)
    sealed = models.BinaryField(editable=False)

    objects = PayloadQuerySet.as_manager()

    def __str__(self) -> str:
        return f"payload of {self.call} {self.phase}"


class Tree(models.Model):
    """The Merkle tree over an organization's events, or over those of the installation itself (no organization).

    `size` and `frontier` (32-byte hashes, as audit.merkle.Frontier has them) are what appending needs; every
    seal changes them together with the leaves it adds. `origin` is the log's name in checkpoints, and never changes.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization_id = models.UUIDField(null=True, blank=True)
    origin = models.CharField(max_length=255, unique=True)
    size = models.BigIntegerField(default=0)
    frontier = models.BinaryField(default=b"")
    published_size = models.BigIntegerField(default=0)
    published_at = models.DateTimeField(null=True, blank=True)
    delivered_size = models.BigIntegerField(default=0)

    objects = TreeQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=("organization_id",), nulls_distinct=False, name="audit_tree_one_per_organization"
            )
        ]

    def __str__(self) -> str:
        return self.origin


class Leaf(models.Model):
    """Where an event stands in its tree, and its hash (audit.leaves says of what). Append-only, like the events."""

    event_id = models.UUIDField(primary_key=True)
    # Without a constraint, whose check costs as much as the row: who seals has locked the tree, and no tree is deleted.
    tree = models.ForeignKey(Tree, on_delete=models.PROTECT, db_index=False, db_constraint=False)
    index = models.BigIntegerField()
    version = models.SmallIntegerField()
    hash = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=("tree", "index"), name="audit_leaf_once_per_index")]

    def __str__(self) -> str:
        return f"leaf {self.index}"


class Node(models.Model):
    """The root of a perfect subtree of 256, 65536, … leaves (levels 8, 16, …), so that proofs read few rows."""

    pk = models.CompositePrimaryKey("tree_id", "level", "index")
    tree = models.ForeignKey(Tree, on_delete=models.PROTECT, db_index=False, db_constraint=False)
    level = models.SmallIntegerField()
    index = models.BigIntegerField()
    hash = models.BinaryField()

    def __str__(self) -> str:
        return f"node {self.index} of level {self.level}"


class Checkpoint(models.Model):
    """The signed head of a tree after a seal: a note as C2SP's tlog-checkpoint says. Append-only."""

    id = models.BigAutoField(primary_key=True)
    tree = models.ForeignKey(
        Tree, on_delete=models.PROTECT, db_index=False, db_constraint=False, related_name="checkpoints"
    )
    size = models.BigIntegerField()
    note = models.TextField()
    sealed_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=("tree", "size"), name="audit_checkpoint_once_per_size")]

    def __str__(self) -> str:
        return f"checkpoint at {self.size}"


class Outlet(models.Model):
    """A place that events are sent to besides. Until `busy_until` nobody else sends: somebody does, or it rests."""

    name = models.CharField(primary_key=True, max_length=32)
    busy_until = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.name


class OutletPosition(models.Model):
    """How many leaves of a tree have arrived at an outlet, and what has been wrong since when, if they don't."""

    outlet = models.ForeignKey(Outlet, on_delete=models.CASCADE, related_name="positions", db_index=False)
    tree = models.ForeignKey(Tree, on_delete=models.PROTECT, db_index=False)
    size = models.BigIntegerField(default=0)
    delivered_at = models.DateTimeField(null=True, blank=True)
    failures = models.IntegerField(default=0)
    failing_since = models.DateTimeField(null=True, blank=True)
    retry_at = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=255, blank=True, default="")

    class Meta:
        constraints = [models.UniqueConstraint(fields=("outlet", "tree"), name="audit_outlet_one_position_per_tree")]

    def __str__(self) -> str:
        return f"{self.outlet_id} at {self.size} of {self.tree}"


class Cosignature(models.Model):
    """That a witness has signed a checkpoint of ours: its line, to be added to the note. Append-only."""

    id = models.BigAutoField(primary_key=True)
    checkpoint = models.ForeignKey(
        Checkpoint, on_delete=models.PROTECT, db_index=False, db_constraint=False, related_name="cosignatures"
    )
    witness = models.CharField(max_length=255)
    line = models.TextField()
    received_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=("checkpoint", "witness"), name="audit_cosignature_once")]

    def __str__(self) -> str:
        return f"cosignature of {self.witness}"


class WitnessedLog(models.Model):
    """What this installation, as a witness, has signed last of a log: it never signs a smaller tree, or another one."""

    origin = models.CharField(primary_key=True, max_length=255)
    size = models.BigIntegerField(default=0)
    root = models.BinaryField(default=EMPTY_ROOT)
    note = models.TextField(blank=True, default="")
    cosigned_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return self.origin


class RetentionStatement(models.Model):
    """A signed statement (audit.statements) that a month's events were dropped from a tree. Append-only.

    `lower` and `upper` are between which calls they were: what was kept of those calls' content may be deleted.
    """

    tree = models.ForeignKey(Tree, on_delete=models.PROTECT)
    month = models.CharField(max_length=16)
    lower = models.UUIDField()
    upper = models.UUIDField()
    note = models.TextField()
    dropped_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=("tree", "lower"), name="audit_retention_once_per_month")]

    def __str__(self) -> str:
        return f"statement of {self.month}"


class HourlyCount(models.Model):
    """How many events there were in one hour that have all of this in common, counted from the log.

    `hour` is when it began, by `occurred_at`. `latencies` has how many of them took how long, by the number of the
    bucket (audit.services.roll_up.BUCKET), as far as they have a latency.
    """

    organization_id = models.UUIDField(null=True, blank=True)
    hour = models.DateTimeField()
    type = models.CharField(max_length=64)
    phase = models.CharField(max_length=16, choices=Phase.choices, blank=True, default="")
    outcome = models.CharField(max_length=16, choices=Outcome.choices, blank=True, default="")
    events = models.BigIntegerField()
    latencies = models.JSONField(default=dict)

    objects = HourlyCountQuerySet.as_manager()

    class Meta:
        abstract = True


class CapabilityHour(HourlyCount):
    """The events of an hour by capability, and of its integration where none was named.

    Rows come in the order of time: a few bytes for a thousand of them find the hours of all organizations.
    """

    integration = models.CharField(max_length=64, blank=True, default="")
    capability = models.CharField(max_length=255, blank=True, default="")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=("organization_id", "hour", "type", "phase", "outcome", "integration", "capability"),
                nulls_distinct=False,
                name="audit_capabilityhour_once",
            )
        ]
        indexes = [BrinIndex("hour", name="audit_capabilityhour_by_hour", autosummarize=True)]

    def __str__(self) -> str:
        return f"{self.events} of {self.integration}:{self.capability} at {self.hour}"


class ApplicationHour(HourlyCount):
    """The events of an hour by application, under each name that it had."""

    application_id = models.UUIDField(null=True, blank=True)
    application_name = models.CharField(max_length=255, blank=True, default="")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=("organization_id", "hour", "type", "phase", "outcome", "application_id", "application_name"),
                nulls_distinct=False,
                name="audit_applicationhour_once",
            )
        ]
        indexes = [BrinIndex("hour", name="audit_applicationhour_by_hour", autosummarize=True)]

    def __str__(self) -> str:
        return f"{self.events} of {self.application_name} at {self.hour}"


class RollupPosition(models.Model):
    """How many leaves of a tree are in the hourly counts: these, and no others."""

    tree = models.OneToOneField(Tree, on_delete=models.PROTECT, primary_key=True)
    size = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.size} of {self.tree}"
