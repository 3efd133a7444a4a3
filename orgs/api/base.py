"""What every view of the management API shares: who asks, what they may, how much, and how it is answered."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar, TypeVar, cast

from django.db import models
from django.http import QueryDict
from rest_framework import serializers
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.permissions import BasePermission
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from orgs.api.access import READERS, WRITERS, Access
from orgs.api.authentication import BearerAuthentication
from orgs.api.errors import (
    ForbiddenError,
    MalformedBodyError,
    MethodNotAllowedError,
    NotFoundError,
    TooManyRequestsError,
)
from orgs.api.pagination import read_page
from orgs.api.parsers import StrictJSONParser
from orgs.api.serializers import CamelSerializer, NoInput, PageQuery
from orgs.limits import Limit, record_use
from orgs.models import Membership, User

REQUESTS = Limit("management-requests", uses=1200)
M = TypeVar("M", bound=models.Model)
SAFE_METHODS = ("GET", "HEAD")


class OnlyJSON(BaseContentNegotiation):
    """There is one representation, whatever a client says it accepts."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        media_type = (request.content_type or "").partition(";")[0].strip().lower()
        return next((parser for parser in parsers if parser.media_type == media_type), None)

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> tuple[Any, str]:
        return renderers[0], "application/json"


class RolePermission(BasePermission):
    """Ask the view which roles may read and which may write."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        if not isinstance(request.auth, Access) or not isinstance(view, ManagementView):
            return False
        roles = view.readers if request.method in SAFE_METHODS else view.writers
        if not request.auth.has(roles):
            raise ForbiddenError(f"This needs one of the roles {_list(roles)}; yours is {request.auth.role}.")
        return True


class ManagementView(APIView):
    """A view behind a management token. `readers` and `writers` are roles; `query_serializer` reads what GET may ask.

    Rows always start from `self.access.organization`, so that another organization's identifiers find nothing.
    """

    readers: ClassVar[Collection[str]] = READERS
    writers: ClassVar[Collection[str]] = WRITERS
    query_serializer: ClassVar[type[CamelSerializer]] = NoInput
    tag: ClassVar[str] = ""

    authentication_classes = (BearerAuthentication,)
    permission_classes = (RolePermission,)
    parser_classes = (StrictJSONParser,)
    renderer_classes = (JSONRenderer,)
    content_negotiation_class = OnlyJSON
    metadata_class = None
    http_method_names = ["get", "head", "post", "put", "patch", "delete"]

    query: dict[str, Any]

    @property
    def access(self) -> Access:
        return cast(Access, self.request.auth)

    def perform_authentication(self, request: Request) -> None:
        super().perform_authentication(request)
        access = request.auth
        if isinstance(access, Access):
            wait = record_use(REQUESTS, f"{access.application.pk}:{access.user.pk}")
            if wait:
                raise TooManyRequestsError(wait)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if not hasattr(self, str(request.method).lower()):
            raise MethodNotAllowedError
        _check_length(request)
        allowed = self.query_serializer if request.method in SAFE_METHODS else NoInput
        self.query = _read(allowed, _read_query(request.query_params))

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Response:
        answered: Response = super().finalize_response(request, response, *args, **kwargs)
        answered.headers.setdefault("Cache-Control", "no-store")
        return answered

    def read(self, serializer: type[CamelSerializer], *, partial: bool = False) -> dict[str, Any]:
        """Return the body's fields by the code's names, or refuse them all."""
        return _read(serializer, self.request.data, partial=partial)

    def answer_page(
        self,
        rows: models.QuerySet[M],
        serializer: type[CamelSerializer],
        *,
        prepare: Callable[[list[M]], list[Any]] = list,
    ) -> Response:
        """Answer with one page of `rows`, as `query` (a PageQuery) asks; `prepare` completes the rows of the page."""
        filters = {name: value for name, value in self.query.items() if name not in ("limit", "cursor")}
        scope = f"{self.access.organization.pk}:{self.access.role}:{self.access.user.pk}:{self.request.path}:{filters}"
        page = read_page(rows, limit=self.query["limit"], cursor=self.query["cursor"], scope=scope)
        items = serializer(prepare(list(page.items)), many=True).data
        return Response({"items": items, "nextCursor": page.next_cursor})

    def get_member(self, key: Any, *, field: str) -> User:
        """Return an active member of the organization, or refuse the field that named this person."""
        members = Membership.objects.active().filter(organization=self.access.organization, user=key)
        membership = members.select_related("user").first()
        if membership is None:
            raise serializers.ValidationError({field: ["There is no such active person in your organization."]})
        return membership.user

    def get_reference(self, rows: models.QuerySet[M], key: Any, *, field: str) -> M:
        """Return the row that a field of the body names, or refuse that field: unknown and foreign ones alike."""
        found = rows.filter(pk=key).first()
        if found is None:
            raise serializers.ValidationError({field: ["There is nothing with this identifier in your organization."]})
        return found


class ListView(ManagementView):
    """A view whose GET is a list."""

    query_serializer: ClassVar[type[CamelSerializer]] = PageQuery


def get_row(rows: models.QuerySet[M], key: Any) -> M:
    """Return the row, or answer 404: for what isn't there and for what is another organization's alike."""
    found = rows.filter(pk=key).first()
    if found is None:
        raise NotFoundError
    return found


def _check_length(request: Request) -> None:
    """Django takes a body without a length for none, and a change of nothing would look like success."""
    meta = request.META
    is_announced = meta.get("HTTP_TRANSFER_ENCODING") or meta.get("CONTENT_TYPE")
    if request.method in ("POST", "PUT", "PATCH") and is_announced and not meta.get("CONTENT_LENGTH"):
        raise MalformedBodyError("Send the body with a Content-Length, not in chunks.")


def _read(serializer: type[CamelSerializer], data: Any, *, partial: bool = False) -> dict[str, Any]:
    reader = serializer(data=data, partial=partial)
    reader.is_valid(raise_exception=True)
    return dict(reader.validated_data)


def _read_query(query: QueryDict) -> Mapping[str, Any]:
    repeated = [name for name, values in query.lists() if len(values) > 1]
    if repeated:
        raise serializers.ValidationError({name[:80]: ["Give it once."] for name in repeated[:20]})
    return query.dict()


def _list(roles: Collection[str]) -> str:
    return ", ".join(sorted(str(role) for role in roles))
