"""The admin site: entered through the portal's sign-in, open to those who administrate or audit an organization."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
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
