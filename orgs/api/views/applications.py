from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from orgs.api.base import ListView, ManagementView, get_row
from orgs.api.serializers import CamelSerializer, NoInput, PageQuery, page_of, wrapped
from orgs.api.shapes.applications import (
    ApplicationChanges,
    ApplicationInput,
    ApplicationSerializer,
    ApplicationWithSecretSerializer,
    OAuthChanges,
    OAuthSerializer,
    describe_oauth,
)
from orgs.models import Application
from orgs.querysets import ApplicationQuerySet
from orgs.services.register_application import register_application
from orgs.services.rotate_application_secret import rotate_application_secret
from orgs.services.update_application import (
    approve_application,
    delete_application,
    suspend_application,
    update_application,
)


class ApplicationQuery(PageQuery):
    status = serializers.ChoiceField(choices=Application.Status.choices, required=False)
    owner_id = serializers.UUIDField(required=False)


class ApplicationView(ManagementView):
    """Base of everything about one application."""

    tag = "Applications"

    def get_applications(self) -> ApplicationQuerySet[Application]:
        return Application.objects.for_organization(self.access.organization)

    def get_application(self, application_id: UUID) -> Application:
        return get_row(self.get_applications().select_related("organization", "owner"), application_id)

    def read_owner(self, given: dict[str, Any]) -> dict[str, Any]:
        """Replace an owner's key by the person."""
        if "owner_id" in given:
            given["owner"] = self.get_member(given.pop("owner_id"), field="ownerId")
        return given


class ApplicationsView(ApplicationView, ListView):
    query_serializer: ClassVar[type[CamelSerializer]] = ApplicationQuery

    @extend_schema(
        operation_id="listApplications", summary="List applications", responses=page_of(ApplicationSerializer)
    )
    def get(self, request: Request) -> Response:
        """The newest first."""
        names = [name for name in ("status", "owner_id") if name in self.query]
        rows = self.get_applications().filter(**{name: self.query[name] for name in names})
        return self.answer_page(rows, ApplicationSerializer)

    @extend_schema(
        operation_id="createApplication",
        summary="Register an application",
        request=ApplicationInput,
        responses={201: ApplicationWithSecretSerializer},
    )
    def post(self, request: Request) -> Response:
        """A confidential application's secret is in this answer and can't be had again."""
        given = self.read_owner({"owner_id": self.access.user.pk, **self.read(ApplicationInput)})
        registered = register_application(organization=self.access.organization, actor=self.access.actor, **given)
        answer = {"application": registered.application, "client_secret": registered.client_secret or None}
        return Response(ApplicationWithSecretSerializer(answer).data, status=201)


class ApplicationDetailView(ApplicationView):
    @extend_schema(
        operation_id="getApplication",
        summary="Get an application",
        responses=wrapped("application", ApplicationSerializer),
    )
    def get(self, request: Request, application_id: UUID) -> Response:
        return _answer(self.get_application(application_id))

    @extend_schema(
        operation_id="updateApplication",
        summary="Change an application",
        request=ApplicationChanges,
        responses=wrapped("application", ApplicationSerializer),
    )
    def patch(self, request: Request, application_id: UUID) -> Response:
        """Only what is given changes. `status` approves an application that waits, or suspends one."""
        application = self.get_application(application_id)
        given = self.read_owner(self.read(ApplicationChanges, partial=True))
        status = given.pop("status", None)
        with transaction.atomic():
            update_application(application=application, actor=self.access.actor, **given)
            if status is not None:
                change = approve_application if status == Application.Status.ACTIVE else suspend_application
                change(application=application, actor=self.access.actor)
        return _answer(application)

    @extend_schema(operation_id="deleteApplication", summary="Delete an application", responses={204: None})
    def delete(self, request: Request, application_id: UUID) -> Response:
        """Its tokens, consents and rules go with it. The audit trail keeps its name."""
        delete_application(application=self.get_application(application_id), actor=self.access.actor)
        return Response(status=204)


class RotateSecretView(ApplicationView):
    @extend_schema(
        operation_id="rotateApplicationSecret",
        summary="Replace an application's secret",
        request=None,
        responses=ApplicationWithSecretSerializer,
    )
    def post(self, request: Request, application_id: UUID) -> Response:
        """The former secret stops working at once. The new one is in this answer and can't be had again."""
        self.read(NoInput)
        application = self.get_application(application_id)
        secret = rotate_application_secret(application=application, actor=self.access.actor)
        return Response(ApplicationWithSecretSerializer({"application": application, "client_secret": secret}).data)


class ApplicationOAuthView(ApplicationView):
    @extend_schema(
        operation_id="getApplicationOAuth",
        summary="Get an application's OAuth configuration",
        responses=wrapped("oauth", OAuthSerializer),
    )
    def get(self, request: Request, application_id: UUID) -> Response:
        return _answer_oauth(self.get_application(application_id))

    @extend_schema(
        operation_id="updateApplicationOAuth",
        summary="Change an application's OAuth configuration",
        request=OAuthChanges,
        responses=wrapped("oauth", OAuthSerializer),
    )
    def patch(self, request: Request, application_id: UUID) -> Response:
        application = self.get_application(application_id)
        given = self.read(OAuthChanges, partial=True)
        update_application(application=application, actor=self.access.actor, **given)
        return _answer_oauth(application)


def _answer(application: Application) -> Response:
    return Response({"application": ApplicationSerializer(application).data})


def _answer_oauth(application: Application) -> Response:
    return Response({"oauth": OAuthSerializer(describe_oauth(application)).data})
