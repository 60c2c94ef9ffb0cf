"""Mail and webhooks against servers that the test starts."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from nightjar.contracts import BadInput
from nightjar.stores.post import call_webhook, send_mail


class Mailbox(socketserver.StreamRequestHandler):
    """As much of SMTP (RFC 5321) as taking one message needs."""

    def handle(self) -> None:
        seen: list[str] = self.server.seen  # type: ignore[attr-defined]
        self.wfile.write(b"220 test\r\n")
        while line := self.rfile.readline().decode().strip():
            seen.append(line)
            if line.upper().startswith("RCPT") and "nobody@" in line:
                self.wfile.write(b"550 no such person\r\n")
            elif line.upper() == "DATA":
                self.wfile.write(b"354 go on\r\n")
                while (text := self.rfile.readline().decode().rstrip("\r\n")) != ".":
                    seen.append(text)
                self.wfile.write(b"250 taken\r\n")
            else:
                self.wfile.write(b"250 fine\r\n" if line.upper() != "QUIT" else b"221 bye\r\n")
            if line.upper() == "QUIT":
                return


class Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((self.path, self.headers["Content-Type"], json.loads(body)))  # type: ignore[attr-defined]
        self.send_response(500 if self.path == "/broken" else 204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


def serving(server: Any) -> Iterator[Any]:
    server.seen = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def mailbox() -> Iterator[Any]:
    yield from serving(socketserver.TCPServer(("127.0.0.1", 0), Mailbox))


@pytest.fixture
def hook() -> Iterator[Any]:
    yield from serving(HTTPServer(("127.0.0.1", 0), Hook))


def test_a_mail_arrives(mailbox: Any) -> None:
    uri = f"smtp://127.0.0.1:{mailbox.server_address[1]}/?from=nightjar@shop.test&to=a@shop.test&to=b@shop.test"
    send_mail("MAIL", uri, "Nightjar acme 2001-01-15: fine", "Published.\n", timeout_seconds=10)
    for expected in (
        "rcpt TO:<a@shop.test>",
        "rcpt TO:<b@shop.test>",
        "Subject: Nightjar acme 2001-01-15: fine",
        "To: a@shop.test, b@shop.test",
        "Published.",
    ):
        assert expected.lower() in [line.lower() for line in mailbox.seen]


def test_a_refusal_is_an_error_of_the_environment(mailbox: Any) -> None:
    uri = f"smtp://127.0.0.1:{mailbox.server_address[1]}/?from=nightjar@shop.test&to=nobody@shop.test"
    with pytest.raises(OSError, match="no such person"):
        send_mail("MAIL", uri, "s", "t", timeout_seconds=10)


def test_a_password_never_goes_in_the_clear(mailbox: Any) -> None:
    """This server offers no encryption: the password stays here."""
    uri = f"smtp://me:hunter2@127.0.0.1:{mailbox.server_address[1]}/?from=a@shop.test&to=b@shop.test"
    with pytest.raises(OSError, match="STARTTLS"):
        send_mail("MAIL", uri, "s", "t", timeout_seconds=10)
    assert not [line for line in mailbox.seen if "AUTH" in line.upper()]


@pytest.mark.parametrize("uri", ["", "https://host", "smtp://host/?from=a@b", "smtp:///?from=a@b&to=c@d"])
def test_what_is_no_address_is_said_without_it(uri: str) -> None:
    with pytest.raises(BadInput, match="MAIL is no mail address") as found:
        send_mail("MAIL", uri, "s", "t", timeout_seconds=1)
    assert not uri or uri not in str(found.value)


def test_a_webhook_is_called(hook: Any) -> None:
    url = f"http://127.0.0.1:{hook.server_address[1]}/night"
    call_webhook("HOOK", url, {"text": "fünf", "verdict": "warn"}, timeout_seconds=10)
    assert hook.seen == [("/night", "application/json", {"text": "fünf", "verdict": "warn"})]
    with pytest.raises(OSError, match="500"):
        call_webhook("HOOK", url.replace("night", "broken"), {}, timeout_seconds=10)
    with pytest.raises(BadInput, match="HOOK is no http"):
        call_webhook("HOOK", "file:///etc/passwd", {}, timeout_seconds=10)
