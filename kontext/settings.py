"""Every setting of the installation. docs/configuration.md is the table of what can be set."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

import environ

from kontext.embedded.addresses import embedded_database_url, embedded_redis_url

env = environ.Env()
BASE_DIR = Path(__file__).resolve().parent.parent
INSECURE_SECRET_KEY = "insecure-development-key-never-for-production"  # noqa: S105

DEBUG = env.bool("KONTEXT_DEBUG", default=False)
DATA_DIR = Path(env("KONTEXT_DATA_DIR", default=str(BASE_DIR / ".kontext"))).resolve()
SECRET_KEY = env("KONTEXT_SECRET_KEY", default=INSECURE_SECRET_KEY)
PUBLIC_URL = env("KONTEXT_PUBLIC_URL", default="http://127.0.0.1:8000").rstrip("/")
GATEWAY_URL = env("KONTEXT_GATEWAY_URL", default="http://127.0.0.1:8001").rstrip("/")
ALLOWED_HOSTS = env.list("KONTEXT_ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"])
# Discovery, token calls and forwarded calls may reach loopback and private ranges only when the operator says so.
ALLOW_PRIVATE_NETWORKS = env.bool("KONTEXT_ALLOW_PRIVATE_NETWORKS", default=False)
# The root key wraps each organization's data key (orgs/vault). With neither set, a file is made in the data folder.
ROOT_KEY = env("KONTEXT_ROOT_KEY", default="")
ROOT_KEY_FILE = env("KONTEXT_ROOT_KEY_FILE", default=str(DATA_DIR / "root.key"))

DATABASES = {"default": env.db_url_config(env("DATABASE_URL", default="") or embedded_database_url(DATA_DIR))}
DATABASES["default"]["ENGINE"] = "django.db.backends.postgresql"
# libpq's URLs percent-encode a socket folder in place of the host.
DATABASES["default"]["HOST"] = unquote(DATABASES["default"]["HOST"])
DATABASES["default"]["CONN_MAX_AGE"] = env.int("KONTEXT_DATABASE_CONN_MAX_AGE", default=60)
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
REDIS_URL = env("REDIS_URL", default="") or embedded_redis_url(DATA_DIR)

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
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
    "django.middleware.security.SecurityMiddleware",
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
AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
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
STATIC_ROOT = BASE_DIR / "staticfiles"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

OAUTH2_PROVIDER_APPLICATION_MODEL = "orgs.Application"
