"""The admin site: entered through the portal's sign-in, open to those who administrate or audit an organization."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.core.paginator import InvalidPage
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from unfold.sites import UnfoldAdminSite


class AdminSite(UnfoldAdminSite):
    """Membership decides, not `is_staff` alone: a suspended administrator is out with the next request."""

    def has_permission(self, request: HttpRequest) -> bool:
        # Imported here: this class is named in the app configuration, which is read before any model.
        from orgs.administration.access import READERS, get_access

        if not request.user.is_authenticated or not request.user.is_active:
            return False
        access = get_access(request)
        return access.is_superuser or (bool(request.user.is_staff) and bool(access.organizations(READERS)))

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Send visitors to the one sign-in page. Who is signed in without a role here is told so, not sent around."""
        wanted = request.GET.get("next", "")
        if not url_has_allowed_host_and_scheme(wanted, allowed_hosts={request.get_host()}):
            wanted = reverse("admin:index")
        if self.has_permission(request):
            return HttpResponseRedirect(wanted)
        if request.user.is_authenticated:
            raise PermissionDenied("the admin is for the administrators and auditors of an organization")
        return redirect_to_login(wanted, settings.LOGIN_URL)

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Sign out as the portal does: it is recorded, and leads to the one sign-in page."""
        from orgs.views import sign_out

        return sign_out(request)

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Let a local administrator change their password. Others have none to change."""
        if not isinstance(request.user, AbstractBaseUser) or not request.user.has_usable_password():
            raise Http404("signs in through an identity provider")
        response: HttpResponse = super().password_change(request, extra_context)
        if request.method == "POST" and response.status_code == 302:
            _record_password_change(request)
        return response

    def search(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        try:
            return super().search(request, extra_context)
        except (InvalidPage, ValueError):
            raise Http404("no such page of results") from None


def _record_password_change(request: HttpRequest) -> None:
    from audit.services.record import record_event
    from audit.types import EventType
    from orgs.http import make_actor

    record_event(
        type=EventType.PERSON_CHANGED,
        organization_id=None,
        actor=make_actor(user=request.user),
        details={"user": str(request.user.pk), "name": str(request.user), "password_changed": True},
    )
