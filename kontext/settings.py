"""Every setting of the installation. docs/configuration.md is the table of what can be set."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

import environ

from kontext.embedded.addresses import celery_broker_url, embedded_database_url, embedded_redis_url
from kontext.environment import hosts_of, read_email_url, read_environment_file
from kontext.unfold import UNFOLD as UNFOLD

env = environ.Env()
BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(env("KONTEXT_DATA_DIR", default=str(BASE_DIR / ".kontext"))).resolve()
# What `manage.py up` decided for this data folder (ports, a generated key); real environment variables come first.
env.ENVIRON = {**read_environment_file(DATA_DIR), **os.environ}  # type: ignore[assignment]

DEBUG = env.bool("KONTEXT_DEBUG", default=False)
INSECURE_SECRET_KEY = "insecure-development-key-never-for-production"  # noqa: S105
SECRET_KEY = env("KONTEXT_SECRET_KEY", default=INSECURE_SECRET_KEY)
if SECRET_KEY == INSECURE_SECRET_KEY and not DEBUG:
    SECRET_KEY = ""  # Django refuses to serve with an empty key; commands that need none still run
PUBLIC_URL = env("KONTEXT_PUBLIC_URL", default="http://127.0.0.1:8000").rstrip("/")
GATEWAY_URL = env("KONTEXT_GATEWAY_URL", default="http://127.0.0.1:8001").rstrip("/")
ALLOWED_HOSTS = env.list("KONTEXT_ALLOWED_HOSTS", default=hosts_of(PUBLIC_URL))
# Host names that the gateway answers to, and the origins of pages that may call it besides its own.
GATEWAY_HOSTS = env.list("KONTEXT_GATEWAY_HOSTS", default=hosts_of(GATEWAY_URL))
GATEWAY_ORIGINS = env.list("KONTEXT_GATEWAY_ORIGINS", default=[])
# Discovery, token calls and forwarded calls may reach loopback and private ranges only when the operator says so.
ALLOW_PRIVATE_NETWORKS = env.bool("KONTEXT_ALLOW_PRIVATE_NETWORKS", default=False)
# More services than the catalogue has, one file each.
CATALOGUE_DIR = env("KONTEXT_CATALOGUE_DIR", default="")
# The root key wraps each organization's data key (orgs/vault). With neither set, a file is made in the data folder.
ROOT_KEY = env("KONTEXT_ROOT_KEY", default="")
ROOT_KEY_FILE = env("KONTEXT_ROOT_KEY_FILE", default=str(DATA_DIR / "root.key"))
# Where signed checkpoints of the audit trail are published: files, and an address that each is sent to. Keep them away
# from whoever could change the database.
CHECKPOINT_DIR = Path(env("KONTEXT_CHECKPOINT_DIR", default=str(DATA_DIR / "checkpoints")))
CHECKPOINT_WEBHOOK = env("KONTEXT_CHECKPOINT_WEBHOOK", default="")
CHECKPOINT_SECONDS = env.int("KONTEXT_CHECKPOINT_SECONDS", default=60)
CHECKPOINT_S3 = env("KONTEXT_CHECKPOINT_S3", default="")
# Who cosigns our checkpoints, and whose we cosign (orgs/witness).
WITNESSES = env("KONTEXT_WITNESSES", default="")
WITNESS_LOGS = env("KONTEXT_WITNESS_LOGS", default="")
# How many whole months of the audit trail `manage.py audit retain` leaves besides this one; 0 is all.
AUDIT_MONTHS = env.int("KONTEXT_AUDIT_MONTHS", default=0)
# Where audit events are sent besides (orgs/outlets): any number of these, each at its own pace.
EVENT_STREAM_FILE = env("KONTEXT_EVENT_STREAM_FILE", default="")
EVENT_STREAM_URL = env("KONTEXT_EVENT_STREAM_URL", default="")
EVENT_STREAM_AUTHORIZATION = env("KONTEXT_EVENT_STREAM_AUTHORIZATION", default="")
EVENT_STREAM_SPLUNK = env("KONTEXT_EVENT_STREAM_SPLUNK", default="")
EVENT_STREAM_SPLUNK_TOKEN = env("KONTEXT_EVENT_STREAM_SPLUNK_TOKEN", default="")
EVENT_STREAM_SPLUNK_INDEX = env("KONTEXT_EVENT_STREAM_SPLUNK_INDEX", default="")
EVENT_STREAM_ELASTIC = env("KONTEXT_EVENT_STREAM_ELASTIC", default="")
EVENT_STREAM_ELASTIC_INDEX = env("KONTEXT_EVENT_STREAM_ELASTIC_INDEX", default="kontext-audit")
EVENT_STREAM_ELASTIC_API_KEY = env("KONTEXT_EVENT_STREAM_ELASTIC_API_KEY", default="")
EVENT_STREAM_S3 = env("KONTEXT_EVENT_STREAM_S3", default="")
EVENT_STREAM_SYSLOG = env("KONTEXT_EVENT_STREAM_SYSLOG", default="")
EVENT_STREAM_OTLP = env("KONTEXT_EVENT_STREAM_OTLP", default="")
EVENT_STREAM_OTLP_HEADERS = env("KONTEXT_EVENT_STREAM_OTLP_HEADERS", default="")
# An S3-compatible service other than AWS, and its region; credentials are found as AWS's own tools find them.
S3_ENDPOINT = env("KONTEXT_S3_ENDPOINT", default="")
S3_REGION = env("KONTEXT_S3_REGION", default="")

# How notices are sent by e-mail (orgs/notices); without it they are not, and say so. The mail server may be inside.
EMAIL_BACKEND = "orgs.notices.mail.NoMailBackend"
EMAIL_TIMEOUT = 15
DEFAULT_FROM_EMAIL = env("KONTEXT_EMAIL_FROM", default=f"kontext@{urlsplit(PUBLIC_URL).hostname}")
if EMAIL_URL := env("EMAIL_URL", default=""):
    globals().update(read_email_url(EMAIL_URL))

DATABASES = {"default": env.db_url_config(env("DATABASE_URL", default="") or embedded_database_url(DATA_DIR))}
DATABASES["default"]["ENGINE"] = "django.db.backends.postgresql"
# libpq's URLs percent-encode a socket folder in place of the host.
DATABASES["default"]["HOST"] = unquote(DATABASES["default"]["HOST"])
DATABASES["default"]["CONN_MAX_AGE"] = env.int("KONTEXT_DATABASE_CONN_MAX_AGE", default=60)
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
REDIS_URL = env("REDIS_URL", default="") or embedded_redis_url(DATA_DIR)

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "orgs.administration.apps.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "oauth2_provider",
    "social_django",
    "audit",
    "orgs",
    "connections",
    "policy",
    "gateway",
    "kontext",
]

MIDDLEWARE = [
    "orgs.http.RequestIdMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "kontext.middleware.SecurityHeadersMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

ROOT_URLCONF = "kontext.urls"
WSGI_APPLICATION = "kontext.wsgi.application"
AUTH_USER_MODEL = "orgs.User"
# Passwords are for local administrators. The second backend only finds the person of a session again.
AUTHENTICATION_BACKENDS = ["orgs.local_login.LimitedModelBackend", "django.contrib.auth.backends.ModelBackend"]
SOCIAL_AUTH_PIPELINE = [
    "orgs.sso.pipeline.find_person",
    "orgs.sso.pipeline.check_domain",
    "orgs.sso.pipeline.check_not_suspended",
    "orgs.sso.pipeline.save_person",
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
    "orgs.oauth.hashers.ClientSecretHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("MinimumLengthValidator", "CommonPasswordValidator", "NumericPasswordValidator")
]
LOGIN_URL = "/signin/"
LOGIN_REDIRECT_URL = "/"
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"
STATIC_ROOT = Path(env("KONTEXT_STATIC_ROOT", default=str(DATA_DIR / "static")))
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Counts for rate limits live here; nothing in it is missed when it is lost.
CACHES = {
    "default": {
        "BACKEND": "orgs.cache.ForgivingCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "kontext",
        "OPTIONS": {"socket_connect_timeout": 0.5, "socket_timeout": 0.5},
    }
}

OAUTH2_PROVIDER_APPLICATION_MODEL = "orgs.Application"
OAUTH2_PROVIDER = {
    "OAUTH2_SERVER_CLASS": "orgs.oauth.server.Server",
    "OAUTH2_VALIDATOR_CLASS": "orgs.oauth.validator.Validator",
    "SCOPES_BACKEND_CLASS": "orgs.oauth.scopes.Scopes",
    "RESOURCE_SERVER_TOKEN_RESOURCE_VALIDATOR": "orgs.oauth.resources.is_request_allowed",
    "CLIENT_SECRET_HASHER": "kontext_secret",
    "SCOPES": {
        "mcp:invoke": "Use integrations for you, within the rules",
        "management:all": "Manage your organization in Kontext, as far as you may yourself",
        "access:evaluate": "Ask what the rules would decide, as far as you may ask yourself",
        "openid": "Know who you are",
        "email": "See your e-mail address",
        "profile": "See your name",
        "offline_access": "Go on while you are away, until you stop it",
    },
    "DEFAULT_SCOPES": ["mcp:invoke"],
    "OIDC_ENABLED": True,
    "OIDC_ISS_ENDPOINT": PUBLIC_URL,
    "AUTHORIZATION_CODE_EXPIRE_SECONDS": 60,
    "ACCESS_TOKEN_EXPIRE_SECONDS": 600,
    "ID_TOKEN_EXPIRE_SECONDS": 600,
    # Counted from the last refresh: an application that isn't used for a month has to ask again.
    "REFRESH_TOKEN_EXPIRE_SECONDS": 30 * 24 * 3600,
    "ROTATE_REFRESH_TOKEN": True,
    "REFRESH_TOKEN_REUSE_PROTECTION": True,
    "PKCE_REQUIRED": True,
    # http is for loopback alone: orgs.models.Application says so itself.
    "ALLOWED_REDIRECT_URI_SCHEMES": ["https"],
    # RFC 9700, all of it.
    "COMPLIANT_BCP_RFC9700_IMPLICIT_GRANT": True,
    "COMPLIANT_BCP_RFC9700_PASSWORD_GRANT": True,
    "COMPLIANT_BCP_RFC9700_PKCE_METHOD": True,
    "COMPLIANT_BCP_RFC9700_PKCE_REQUIRED": True,
    "COMPLIANT_BCP_RFC9700_ACCESS_TOKEN_TRANSPORT": True,
    "COMPLIANT_BCP_RFC9700_AUTHZ_RESPONSE_ISS": True,
    "COMPLIANT_BCP_RFC9700_TOKEN_STORAGE": True,
    "COMPLIANT_BCP_RFC9700_REFRESH_TOKEN": True,
    "COMPLIANT_BCP_RFC9700_REDIRECT_URI_SCHEME": True,
    "COMPLIANT_BCP_RFC9700_REDIRECT_URI_MATCHING": True,
}

REST_FRAMEWORK = {
    "DEFAULT_SCHEMA_CLASS": "orgs.api.schema.ManagementSchema",
    "EXCEPTION_HANDLER": "orgs.api.errors.handle_exception",
    "UNAUTHENTICATED_USER": None,
    "URL_FORMAT_OVERRIDE": None,
    "NON_FIELD_ERRORS_KEY": "",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Kontext management API",
    "VERSION": "1",
    "DESCRIPTION": "Applications, integrations, connections, rules and the audit trail of one organization.",
    "SERVERS": [{"url": PUBLIC_URL}],
    "POSTPROCESSING_HOOKS": ["orgs.api.schema.add_errors", "orgs.api.schema.close_inputs"],
}

# Behind https everything that a browser can be told to insist on follows from the public URL.
IS_HTTPS = PUBLIC_URL.startswith("https://")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = IS_HTTPS
SESSION_COOKIE_NAME = "__Host-session" if IS_HTTPS else "kontext_session"
CSRF_COOKIE_NAME = "__Host-csrf" if IS_HTTPS else "kontext_csrf"
SESSION_COOKIE_AGE = env.int("KONTEXT_SESSION_SECONDS", default=12 * 3600)
SECURE_HSTS_SECONDS = env.int("KONTEXT_HSTS_SECONDS", default=365 * 24 * 3600 if IS_HTTPS else 0)
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = env.bool("KONTEXT_HSTS_SUBDOMAINS", default=IS_HTTPS)
SECURE_REDIRECT_EXEMPT = [r"^healthz$"]
# The proxy in front must set X-Forwarded-Proto itself, and append the client's address to X-Forwarded-For.
TRUST_PROXY = env.bool("KONTEXT_TRUST_PROXY", default=False)
if TRUST_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
CSRF_TRUSTED_ORIGINS = env.list("KONTEXT_TRUSTED_ORIGINS", default=[PUBLIC_URL])
CSRF_FAILURE_VIEW = "kontext.error_pages.csrf_failure"
X_FRAME_OPTIONS = "DENY"
# Addresses may hold a code or a token: no other site is told of them. With no-referrer, browsers would send forms with
# `Origin: null`, which the protection against forged requests refuses.
SECURE_REFERRER_POLICY = "same-origin"
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000_000

CELERY_BROKER_URL = celery_broker_url(REDIS_URL)
CELERY_TASK_DEFAULT_QUEUE = "kontext"
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
# A task that a dying worker had begun is given to another one, at the latest after the visibility timeout.
CELERY_TASK_ACKS_LATE = CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 600, "socket_connect_timeout": 2}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # a worker waits for its broker for as long as it takes
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 1, "interval_start": 0, "interval_step": 0.1}
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = TIME_ZONE
# Periodic work by name: {"task": ..., "schedule": seconds, "options": {"expires": seconds}}.
CELERY_BEAT_SCHEDULE: dict[str, dict[str, object]] = {
    "rotate-signing-keys": {"task": "orgs.rotate_signing_keys", "schedule": 30 * 24 * 3600.0},
    "delete-expired-tokens": {"task": "orgs.delete_expired_tokens", "schedule": 3600.0},
    "delete-unclaimed-applications": {"task": "orgs.delete_unclaimed_applications", "schedule": 3600.0},
    "refresh-expiring-connections": {
        "task": "connections.refresh_expiring",
        "schedule": 60.0,
        "options": {"expires": 60.0},
    },
    "confirm-revocations": {"task": "connections.confirm_revocations", "schedule": 60.0, "options": {"expires": 60.0}},
    "discover-pending": {"task": "connections.discover_pending", "schedule": 300.0, "options": {"expires": 300.0}},
    "publish-checkpoints": {
        "task": "orgs.publish_checkpoints",
        "schedule": float(CHECKPOINT_SECONDS),
        "options": {"expires": float(CHECKPOINT_SECONDS)},
    },
    "make-audit-partitions": {"task": "audit.make_partitions", "schedule": 6 * 3600.0},
    "count-audit-events": {"task": "audit.roll_up", "schedule": 5.0, "options": {"expires": 5.0}},
    "watch-events": {"task": "orgs.watch_events", "schedule": 30.0, "options": {"expires": 30.0}},
    "send-notices": {"task": "orgs.send_notices", "schedule": 10.0, "options": {"expires": 10.0}},
    "forget-notices": {"task": "orgs.forget_notices", "schedule": 86400.0},
    "stream-events": {"task": "orgs.stream_events", "schedule": 5.0, "options": {"expires": 5.0}},
    "tell-of-expiring-connections": {"task": "connections.tell_of_expiring", "schedule": 3600.0},
    "forget-connect-sessions": {"task": "connections.forget_sessions", "schedule": 3600.0},
    "expire-approvals": {"task": "policy.expire_approvals", "schedule": 60.0, "options": {"expires": 60.0}},
    "forget-settled": {"task": "policy.forget_settled", "schedule": 86400.0},
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env("KONTEXT_LOG_LEVEL", default="INFO")},
    "loggers": {
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        # At DEBUG they write codes and tokens.
        "oauthlib": {"level": "INFO"},
        "oauth2_provider": {"level": "INFO"},
        "social": {"level": "INFO"},
        # At INFO it writes whole addresses, codes and links included.
        "httpx2": {"level": "WARNING"},
    },
}
