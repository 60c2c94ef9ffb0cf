"""Messages that leave the house: mail and webhooks. Their addresses hold secrets and come from the environment."""

from __future__ import annotations

import json
import smtplib
import ssl
import urllib.request
from collections.abc import Mapping
from email.message import EmailMessage
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from nightjar.contracts import BadInput


def send_mail(variable: str, uri: str, subject: str, text: str, *, timeout_seconds: float) -> None:
    """Send one plain mail.

    Args:
        variable: where the address came from; errors name it, and never what it holds.
        uri: smtp:// (STARTTLS where there is a password) or smtps://user:password@host:port/?from=a&to=b&to=c.

    Raises:
        BadInput: the URI is none.
        OSError: the server is away or refuses.
    """
    parts = urlsplit(uri)
    words = parse_qs(parts.query)
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname or not words.get("from") or not words.get("to"):
        raise BadInput(
            f"{variable} is no mail address", "smtp://user:password@host:587/?from=nightjar@shop&to=you@shop"
        )
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = subject, words["from"][0], ", ".join(words["to"])
    mail.set_content(text)
    server: smtplib.SMTP
    if parts.scheme == "smtps":
        trusted = ssl.create_default_context()
        server = smtplib.SMTP_SSL(parts.hostname, parts.port or 465, timeout=timeout_seconds, context=trusted)
    else:
        server = smtplib.SMTP(parts.hostname, parts.port or 25, timeout=timeout_seconds)
    with server:
        if parts.username:
            if parts.scheme == "smtp":
                server.starttls(context=ssl.create_default_context())  # no password in the clear
            server.login(unquote(parts.username), unquote(parts.password or ""))
        server.send_message(mail)


def call_webhook(variable: str, url: str, message: Mapping[str, Any], *, timeout_seconds: float) -> None:
    """POST one JSON object.

    Raises:
        BadInput: the URL is none of http or https.
        OSError: the server is away, or answers with anything but success.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise BadInput(f"{variable} is no http or https address", f"export {variable}=https://…")
    body = json.dumps(dict(message)).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method="POST")  # noqa: S310
    with urllib.request.urlopen(request, timeout=timeout_seconds) as answer:  # noqa: S310 - the scheme was looked at
        answer.read()
