"""What `make audit` makes of a report, and its exit codes with a real pip-audit against a server of our own."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from jobs.ops import audit, setup

from nightjar.contracts import BadInput

TODAY = date(2001, 1, 15)
#: In the form of `pip-audit --format json`, as pip-audit 2.10 writes it.
RECORDED = {
    "dependencies": [
        {"name": "harmless", "version": "1.0", "vulns": []},
        {
            "name": "Leaky.Parser",
            "version": "2.0",
            "vulns": [
                {"id": "PYSEC-2001-7", "fix_versions": ["2.1"], "aliases": ["CVE-2001-0007", "GHSA-aaaa-bbbb-cccc"]},
                {"id": "PYSEC-2001-8", "fix_versions": [], "aliases": []},
            ],
        },
    ],
    "fixes": [],
}
FIRST = "Leaky.Parser==2.0: PYSEC-2001-7, CVE-2001-0007, GHSA-aaaa-bbbb-cccc; mended in 2.1"
SECOND = "Leaky.Parser==2.0: PYSEC-2001-8; not mended yet"


def borne(id: str, until: date = TODAY, package: str = "leaky-parser") -> audit.Ignored:
    return audit.Ignored(package, id, "we never parse", until)


def test_a_report_is_read() -> None:
    assert list(map(str, audit.weaknesses(RECORDED))) == [FIRST, SECOND]
    skipped = {"dependencies": [{"name": "lost", "skip_reason": "not on PyPI"}]}
    with pytest.raises(BadInput, match="lost was not looked at"):
        list(audit.weaknesses(skipped))


def test_what_is_borne_is_borne_until_its_day() -> None:
    found = list(audit.weaknesses(RECORDED))
    assert audit.judged(found, [], TODAY) == [FIRST, SECOND]
    assert audit.judged(found, [borne("CVE-2001-0007"), borne("PYSEC-2001-8")], TODAY) == []
    assert audit.judged(found, [borne("CVE-2001-0007", package="other")], TODAY) == [FIRST, SECOND]
    over = borne("PYSEC-2001-8", date(2001, 1, 14))
    told = "leaky-parser PYSEC-2001-8 was borne until 2001-01-14: we never parse"
    assert audit.judged(found, [over], TODAY) == [told, FIRST, SECOND]
    assert audit.judged([], [over], TODAY) == [told]  # nobody looks at it any more


def test_what_is_borne_has_a_reason_and_an_end(tmp_path: Path) -> None:
    path = tmp_path / "audit.toml"
    path.write_text('[[ignore]]\npackage = "a"\nid = "b"\nreason = "c"\nuntil = 2001-02-03\n')
    assert audit.ignored(path) == [audit.Ignored("a", "b", "c", date(2001, 2, 3))]
    for line in ('reason = ""\nuntil = 2001-02-03', 'reason = "c"', 'reason = "c"\nuntil = "soon"'):
        path.write_text(f'[[ignore]]\npackage = "a"\nid = "b"\n{line}\n')
        with pytest.raises(BadInput, match="needs package, id, reason and until"):
            audit.ignored(path)
    assert audit.ignored(audit.CONF) is not None


class Osv(BaseHTTPRequestHandler):
    """The OSV API's one question: what is known about a version of a package."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = asked["package"]["name"]
        said: dict[str, Any] = {}
        if name == "leaky":
            package = {"name": name, "ecosystem": "PyPI"}
            events = [{"introduced": "0"}, {"fixed": "2.1"}]
            affected = [{"package": package, "ranges": [{"type": "ECOSYSTEM", "events": events}], "versions": ["2.0"]}]
            said = {
                "vulns": [{"id": "PYSEC-2001-7", "aliases": ["CVE-2001-0007"], "details": "d", "affected": affected}]
            }
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def service() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Osv) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1/query"
        server.shutdown()


@pytest.mark.skipif(not setup.is_complete(setup.AUDIT), reason="no .envs/audit; make audit builds it")
def test_exit_codes(service: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clean, leaky, conf = tmp_path / "clean.txt", tmp_path / "leaky.txt", tmp_path / "audit.toml"
    clean.write_text("harmless==1.0\nplain==3.0\n")
    leaky.write_text("harmless==1.0\nleaky==2.0\n")
    conf.write_text("")
    assert audit.audit([clean], service, conf, TODAY) == audit.CLEAN == 0
    assert capsys.readouterr().out == "clean.txt: 2 packages, 0 known weaknesses\n"
    assert audit.audit([clean, leaky], service, conf, TODAY) == audit.VULNERABLE == 1
    assert "leaky==2.0: PYSEC-2001-7, CVE-2001-0007; mended in 2.1" in capsys.readouterr().out
    conf.write_text('[[ignore]]\npackage = "leaky"\nid = "CVE-2001-0007"\nreason = "r"\nuntil = 2001-01-15\n')
    assert audit.audit([leaky], service, conf, TODAY) == audit.CLEAN
    assert audit.audit([leaky], service, conf, date(2001, 1, 16)) == audit.VULNERABLE
    capsys.readouterr()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # taken, and nobody listens
        away = f"http://127.0.0.1:{nobody.getsockname()[1]}/v1/query"
        assert audit.audit([leaky], away, conf, TODAY) == audit.UNREACHABLE == 2
    assert f"{away} did not answer, so nothing is known about leaky.txt" in capsys.readouterr().err
