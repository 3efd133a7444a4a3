"""Questions to the audit trail that somebody asks again."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from orgs.ids import uuid7
from orgs.models.organizations import Organization
from orgs.models.people import User
from orgs.querysets import SavedSearchQuerySet


class SavedSearch(models.Model):
    """Filters of the explorer under a name: its owner's own, or shared with all who read the organization's trail.

    `query` is the query of an address, as orgs.explorer.filters.FilterForm makes it; a period in it goes on moving.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="saved_searches")
    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="saved_searches")
    name = models.CharField(max_length=100)
    query = models.TextField(blank=True, max_length=4000)
    is_shared = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = SavedSearchQuerySet["SavedSearch"].as_manager()

    class Meta:
        ordering = ("name",)
        verbose_name_plural = "saved searches"
        constraints = [
            models.UniqueConstraint(
                fields=("organization", "owner", "name"),
                name="orgs_savedsearch_name_once_an_owner",
                violation_error_message="You have a search of this name already.",
            ),
            models.CheckConstraint(condition=~Q(name=""), name="orgs_savedsearch_has_a_name"),
        ]

    def __str__(self) -> str:
        return self.name
