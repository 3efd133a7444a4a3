"""E-mail over SMTP, dialled through the one way to the outside. The mail server is the operator's (EMAIL_URL)."""

from __future__ import annotations

import smtplib
import socket
import ssl
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.backends.smtp import EmailBackend

from orgs.notices.errors import DeliveryError, RefusedForGoodError
from orgs.outbound import OutboundError, dial

_NOT_SET_UP = "orgs.notices.mail.NoMailBackend"


class _DialledSMTP(smtplib.SMTP):
    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        # Only the operator names this host, and a company's mail relay is inside more often than not.
        return dial(host, port, kind=socket.SOCK_STREAM, seconds=timeout, private_networks=True)


class _DialledSMTPS(smtplib.SMTP_SSL, _DialledSMTP):
    """Wraps in TLS what the other one dials."""


class MailBackend(EmailBackend):
    """Django's own, but for how it connects."""

    @property
    def connection_class(self) -> type[smtplib.SMTP]:
        return _DialledSMTPS if self.use_ssl else _DialledSMTP


class NoMailBackend(BaseEmailBackend):
    """Stands in where no mail server is set."""

    def send_messages(self, email_messages: Sequence[Any]) -> int:
        raise DeliveryError("this installation sends no e-mail: its operator has to set EMAIL_URL")


def is_mail_set_up() -> bool:
    return settings.EMAIL_BACKEND != _NOT_SET_UP


def send_mail(*, address: str, subject: str, text: str, message_id: str) -> None:
    """Send a plain text to one address. `message_id` is the same each time: who gets it twice can tell.

    Raises DeliveryError.
    """
    host = urlsplit(settings.PUBLIC_URL).hostname
    # RFC 3834: an absence note is no answer to this.
    headers = {"Message-ID": f"<{message_id}@{host}>", "Auto-Submitted": "auto-generated"}
    try:
        EmailMessage(subject, text, to=[address], headers=headers).send()
    except OutboundError as error:
        raise DeliveryError(str(error)) from None
    except smtplib.SMTPRecipientsRefused as error:
        raise _describe_refusal(error) from None
    except (OSError, ValueError) as error:
        raise DeliveryError(_describe(error)) from None


def _describe_refusal(error: smtplib.SMTPRecipientsRefused) -> DeliveryError:
    code, said = next(iter(error.recipients.values()))
    text = f"the mail server refuses this address: {code} {_as_line(said)}"
    return RefusedForGoodError(text) if code >= 500 else DeliveryError(text)


def _describe(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return "the mail server refuses the user name and password in EMAIL_URL"
    if isinstance(error, smtplib.SMTPSenderRefused):
        return f"the mail server refuses {settings.DEFAULT_FROM_EMAIL} as a sender (KONTEXT_EMAIL_FROM)"
    if isinstance(error, smtplib.SMTPResponseException):
        return f"the mail server answered {error.smtp_code} {_as_line(error.smtp_error)}"
    if isinstance(error, smtplib.SMTPServerDisconnected | ConnectionError):
        return "the mail server hung up"
    if isinstance(error, TimeoutError):
        return "the mail server did not answer in time"
    if isinstance(error, ssl.SSLError):
        return f"TLS with the mail server failed ({getattr(error, 'verify_message', '') or error.reason})"
    return f"the mail could not be handed over ({type(error).__name__})"


def _as_line(said: bytes | str) -> str:
    text = said.decode(errors="replace") if isinstance(said, bytes) else said
    return " ".join(text.split())[:150]
