"""The control plane as a WSGI application: `granian --interface wsgi kontext.wsgi:application`."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kontext.settings")
application = get_wsgi_application()

from django.conf import settings  # noqa: E402 (only now is there something to read)

_ = settings.SECRET_KEY  # Django raises ImproperlyConfigured where it is empty: don't start on the default secret
