"""The Merkle tree of an organization's events, and proofs about it. Hashes are base64, as in checkpoints."""

from __future__ import annotations

import base64
from typing import Any

from rest_framework import serializers

from audit.models import Checkpoint
from audit.proofs import get_cosigned_note
from orgs.api.serializers import CamelSerializer

HASH_HELP = "32 bytes in base64."


class HashField(serializers.CharField):
    def to_representation(self, value: Any) -> str:
        return base64.b64encode(bytes(value)).decode()


class CosignedSerializer(CamelSerializer):
    """A checkpoint that witnesses have signed beside the log (C2SP tlog-cosignature)."""

    size = serializers.IntegerField()
    checkpoint = serializers.SerializerMethodField(method_name="get_checkpoint")
    witnesses = serializers.SerializerMethodField(method_name="get_witnesses")

    def get_checkpoint(self, checkpoint: Checkpoint) -> str:
        return get_cosigned_note(checkpoint)

    def get_witnesses(self, checkpoint: Checkpoint) -> list[str]:
        return sorted(cosignature.witness for cosignature in checkpoint.cosignatures.all())


class AuditTreeSerializer(CamelSerializer):
    """The tree over all events of the organization (RFC 6962)."""

    origin = serializers.CharField(help_text="The log's name in checkpoints. Empty before the first event is sealed.")
    size = serializers.IntegerField(help_text="How many events are sealed.")
    root_hash = HashField(source="root", help_text=HASH_HELP)
    checkpoint = serializers.CharField(
        allow_null=True, help_text="The newest signed head (C2SP tlog-checkpoint), to be kept as it is."
    )
    sealed_at = serializers.DateTimeField(allow_null=True)
    published_size = serializers.IntegerField(help_text="The size of the newest checkpoint that was published.")
    published_at = serializers.DateTimeField(allow_null=True)
    cosigned = CosignedSerializer(many=True, help_text="The newest checkpoint that each witness has signed.")
    keys = serializers.ListField(
        child=serializers.CharField(), help_text="Verifier keys (C2SP signed-note), the oldest first."
    )


class InclusionProofSerializer(CamelSerializer):
    """That an event is in the tree of a signed checkpoint (RFC 6962 §2.1.1)."""

    event_id = serializers.UUIDField()
    leaf_index = serializers.IntegerField(source="index")
    leaf_version = serializers.IntegerField(source="version", help_text="The first byte of the leaf's data.")
    leaf_data = serializers.CharField(source="data", help_text="The rest of it: the event as the tree holds it.")
    leaf_hash = HashField(help_text="SHA-256 of a zero byte, leafVersion as a byte, and leafData.")
    tree_size = serializers.IntegerField(source="checkpoint.size")
    hashes = serializers.ListField(child=HashField(help_text=HASH_HELP), help_text="From the leaf's sibling upwards.")
    checkpoint = serializers.CharField(source="checkpoint.note")


class ConsistencyProofSerializer(CamelSerializer):
    """That the smaller tree is the beginning of the larger one (RFC 6962 §2.1.2)."""

    from_size = serializers.IntegerField(source="old")
    to_size = serializers.IntegerField(source="new")
    hashes = serializers.ListField(child=HashField(help_text=HASH_HELP))


class ConsistencyQuery(CamelSerializer):
    from_size = serializers.IntegerField(min_value=0, max_value=2**63 - 1, default=0, help_text="Of the older tree.")
    to_size = serializers.IntegerField(
        min_value=0, max_value=2**63 - 1, required=False, help_text="Of the newer tree; without it, the whole tree."
    )
