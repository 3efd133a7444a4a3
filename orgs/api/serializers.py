"""Bases of what the API reads and writes. Fields are named as in the code and appear in camelCase."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from orgs.api.names import to_camel
from orgs.api.pagination import DEFAULT_LIMIT, HIGHEST_LIMIT

_MOST_NAMED = 20
_UNKNOWN = "There is no such field, or it can't be set."


class CamelSerializer(serializers.Serializer[Any]):
    # Not a docstring: subclasses would hand it on to the readers of the OpenAPI document.
    # Names in camelCase; what it doesn't know is refused rather than ignored: a typo must not look like success.

    def get_fields(self) -> dict[str, Any]:
        return {to_camel(name): _keep_source(field, name) for name, field in super().get_fields().items()}

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            known = {name for name, field in self.fields.items() if not field.read_only}
            unknown = sorted(str(name)[:80] for name in data if name not in known)
            if unknown:
                raise serializers.ValidationError({name: [_UNKNOWN] for name in unknown[:_MOST_NAMED]})
        return super().to_internal_value(data)


class NoInput(CamelSerializer):
    """For what takes no body, and no query."""


class PageQuery(CamelSerializer):
    limit = serializers.IntegerField(
        min_value=1, max_value=HIGHEST_LIMIT, default=DEFAULT_LIMIT, help_text="How many items at most."
    )
    cursor = serializers.CharField(
        max_length=200, default="", allow_blank=True, help_text="`nextCursor` of the page before, unchanged."
    )


class SpaceSeparated(serializers.ListField):
    """A list that the model keeps as one text."""

    child = serializers.CharField()

    def to_representation(self, data: Any) -> list[Any]:
        return list(super().to_representation(data.split()))


@extend_schema_field({"type": "object", "additionalProperties": True})
class ObjectField(serializers.JSONField):
    """A JSON object of any shape."""


@extend_schema_field({"type": "object", "nullable": True, "additionalProperties": True})
class NullableObjectField(serializers.JSONField):
    """A JSON object of any shape, or null."""


class NamedSerializer(CamelSerializer):
    id = serializers.UUIDField()
    name = serializers.CharField()


def name_of(row: Any) -> dict[str, Any] | None:
    """Return how another object is referred to, None where there is none."""
    return {"id": row.pk, "name": str(row)} if row is not None else None


@cache
def page_of(item: type[CamelSerializer]) -> type[serializers.Serializer[Any]]:
    """Return the shape of a list's answer, for the schema."""
    fields = {
        "items": item(many=True),
        "nextCursor": serializers.CharField(allow_null=True, help_text="Null on the last page."),
    }
    return type(f"{item.__name__.removesuffix('Serializer')}Page", (serializers.Serializer,), fields)


@cache
def wrapped(name: str, item: type[CamelSerializer]) -> type[serializers.Serializer[Any]]:
    """Return the shape of `{name: {...}}`, for the schema."""
    return type(f"{item.__name__.removesuffix('Serializer')}Response", (serializers.Serializer,), {name: item()})


def _keep_source(field: Any, name: str) -> Any:
    if field.source is None and to_camel(name) != name:
        field.source = name
    return field
