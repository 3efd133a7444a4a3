"""What browsers are told about every answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from django.http import HttpRequest, HttpResponse

Policy = Mapping[str, str]

# Nothing inline, nothing from elsewhere: what somebody smuggles into a page does not run.
PORTAL: Policy = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
# Unfold is built on Alpine, which evaluates attributes as code and writes style attributes.
ADMIN: Policy = {
    **PORTAL,
    "script-src": "'self' 'unsafe-inline' 'unsafe-eval'",
    "style-src": "'self' 'unsafe-inline'",
    "font-src": "'self' data:",
}
# Swagger UI writes style attributes.
API_DOCUMENTATION: Policy = {**PORTAL, "style-src": "'self' 'unsafe-inline'"}
DATA: Policy = {"default-src": "'none'", "frame-ancestors": "'none'"}
# Forms here end at an identity provider, an application or an integration, and Chromium holds `form-action` against
# each redirect after a form, too. Those addresses aren't known when the form is shown.
_FORMS_LEAVE = ("/signin/", "/sso/", "/oauth2/", "/oauth/", "/connect/", "/connections/")


class SecurityHeadersMiddleware:
    """Set what the view has not set itself. Stands after SecurityMiddleware."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        is_page = response.get("Content-Type", "").startswith("text/html")
        headers = {
            "Content-Security-Policy": _write(_choose(request.path) if is_page else DATA),
            "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
            "X-Content-Type-Options": "nosniff",
        }
        for name, value in headers.items():
            response.headers.setdefault(name, value)
        if is_page:
            # Pages show one person's own things: not for a shared computer's back button.
            response.headers.setdefault("Cache-Control", "no-store, private")
        return response


def _choose(path: str) -> Policy:
    if path.startswith("/admin/"):
        return ADMIN
    if path.startswith("/api/"):
        return API_DOCUMENTATION
    if path.startswith(_FORMS_LEAVE):
        return {name: value for name, value in PORTAL.items() if name != "form-action"}
    return PORTAL


def _write(policy: Policy) -> str:
    return "; ".join(f"{name} {value}" for name, value in policy.items())
