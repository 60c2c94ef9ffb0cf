"""What a job tells of itself, to whom, and that it costs no night."""

from __future__ import annotations

import argparse
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from nightjar.contracts import BadInput, Partition
from nightjar.stores import lineage
from nightjar.stores.home import Home
from nightjar.stores.job import Job, arguments, run
from nightjar.stores.touched import TOUCHED, Outside

TASK = "nightjar/nightly.sessionize/01890a5d-ac96-774b-bcce-b302099a8057"
NIGHT = "nightjar/nightly/01890a5d-ac96-774b-bcce-b302099a8058"
DAY = date(2001, 1, 15)


@pytest.fixture(autouse=True)
def nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OPENLINEAGE")]:
        monkeypatch.delenv(name)


@pytest.fixture
def ended(home: Home, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    def end(main: Callable[[argparse.Namespace, Job], dict[str, Any]]) -> int:
        partition = f"synthetic/events/dt={DAY}"
        monkeypatch.setattr("sys.argv", ["job.py", "--source", "synthetic", "--events", partition, "--run", "r1"])
        with pytest.raises(SystemExit) as caught:
            run("sessionize", arguments("A job.", events="a partition"), main)
        return int(str(caught.value.code))

    return end


def sessionize(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    """Reads and writes in name only."""
    TOUCHED.read |= {"events", "sessions"}
    TOUCHED.written["sessions"] = 7
    TOUCHED.sources.add(Outside("mlflow", "nightjar_synthetic", "A model."))
    TOUCHED.targets[Outside.file(Path("/pages/2001-01-15.html"))] = None
    check = {"table_name": "sessions", "expectation": "row_count", "observed": "7"}
    TOUCHED.checks += [check | {"severity": "stop", "success": True}]
    TOUCHED.checks += [check | {"expectation": "share_bots", "severity": "warn", "success": False}]
    return {"rows_out": 7}


def told(home: Home) -> list[dict[str, Any]]:
    text = (home.root / "lineage" / "synthetic" / "2001-01-15" / "sessionize.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_a_run_tells_what_it_read_and_wrote(
    ended: Callable[..., int], home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENLINEAGE_PARENT_ID", TASK)
    monkeypatch.setenv("OPENLINEAGE_ROOT_PARENT_ID", NIGHT)
    assert ended(sessionize) == 0
    start, end = told(home)
    assert (start["eventType"], end["eventType"]) == ("START", "COMPLETE")
    assert start["run"]["runId"] == end["run"]["runId"]
    assert start["eventTime"] <= end["eventTime"]
    assert end["job"]["namespace"] == "nightjar"
    assert end["job"]["name"] == "jobs.synthetic.sessionize"
    for event in (start, end):
        parent = event["run"]["facets"]["parent"]
        assert parent["run"]["runId"] == "01890a5d-ac96-774b-bcce-b302099a8057"
        assert (parent["job"]["namespace"], parent["job"]["name"]) == ("nightjar", "nightly.sessionize")
        assert parent["root"]["run"]["runId"] == "01890a5d-ac96-774b-bcce-b302099a8058"
    lake = home.root / "lake" / "synthetic"
    # It compared itself with the sessions that were there: no source.
    assert [one["name"] for one in end["inputs"]] == [str(lake / "events"), "nightjar_synthetic"]
    sessions, page = end["outputs"]
    assert (sessions["namespace"], sessions["name"]) == ("file", str(lake / "sessions"))
    assert sessions["outputFacets"]["outputStatistics"]["rowCount"] == 7
    assert sessions["facets"]["symlinks"]["identifiers"][0]["name"] == "synthetic.sessions"
    fields = {field["name"]: field for field in sessions["facets"]["schema"]["fields"]}
    assert fields["session_id"]["type"] == "string"
    assert len(fields["session_id"]["description"]) > 10
    assertions = sessions["facets"]["dataQualityAssertions"]["assertions"]
    assert [(one["assertion"], one["success"], one["severity"]) for one in assertions] == [
        ("row_count", True, "error"),
        ("share_bots", False, "warn"),
    ]
    tests = [(one["name"], one["status"]) for one in end["run"]["facets"]["test"]["tests"]]
    assert tests == [("sessions.row_count", "pass"), ("sessions.share_bots", "fail")]
    assert page["name"] == "/pages/2001-01-15.html"


def test_a_second_run_is_added(ended: Callable[..., int], home: Home) -> None:
    assert (ended(sessionize), ended(sessionize)) == (0, 0)
    assert [event["eventType"] for event in told(home)] == ["START", "COMPLETE"] * 2
    assert len({event["run"]["runId"] for event in told(home)}) == 2


def test_an_error_may_quote_a_record_and_is_not_told(ended: Callable[..., int], home: Home) -> None:
    def main(args: argparse.Namespace, job: Job) -> dict[str, Any]:
        raise BadInput("no number: ann@example.org", "mend it")

    assert ended(main) == 1
    last = told(home)[-1]
    assert last["eventType"] == "FAIL"
    assert last["run"]["facets"]["errorMessage"]["message"] == "bad_data"
    assert "ann@example.org" not in json.dumps(told(home))


@pytest.fixture
def server() -> Iterator[tuple[int, list[dict[str, Any]]]]:
    taken: list[dict[str, Any]] = []

    class Taker(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(201)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Taker) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield http.server_port, taken
        http.shutdown()


def test_its_own_variables_send_events_elsewhere(
    ended: Callable[..., int], home: Home, server: tuple[int, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    port, taken = server
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__TYPE", "http")
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert ended(sessionize) == 0
    assert [event["eventType"] for event in taken] == ["START", "COMPLETE"]
    assert not (home.root / "lineage").exists()


def test_who_never_answers_costs_no_night(
    ended: Callable[..., int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lineage, "PATIENCE_SECONDS", 0.5)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        monkeypatch.setenv("OPENLINEAGE__TRANSPORT__TYPE", "http")
        monkeypatch.setenv("OPENLINEAGE__TRANSPORT__URL", f"http://127.0.0.1:{deaf.getsockname()[1]}")
        began = time.monotonic()
        assert ended(sessionize) == 0
        assert time.monotonic() - began < 4
    assert "this run's lineage is not complete: nobody took an event within 0.5 s" in caplog.text


def test_what_is_no_transport_costs_no_night(
    ended: Callable[..., int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT__TYPE", "pigeon")
    assert ended(sessionize) == 0
    assert "lineage is not complete" in caplog.text


def test_off_is_off(ended: Callable[..., int], home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENLINEAGE_DISABLED", "true")
    assert ended(sessionize) == 0
    assert not (home.root / "lineage").exists()


def test_sparks_listener(home: Home, tmp_path: Path, golden: Callable[[str, str], None], caplog: Any) -> None:
    jar = tmp_path / "openlineage-spark.jar"
    run = lineage.Run(home, Partition("synthetic", "events", DAY), "sessionize", logging.getLogger(), id="the-run")
    assert run.listener("") == {}
    assert run.listener(str(jar)) == {}
    assert "see [spark] openlineage_jar" in caplog.text
    jar.touch()
    conf = (
        json.dumps(run.listener(str(jar)), indent=1).replace(str(home.root), "<home>").replace(str(tmp_path), "<jars>")
    )
    golden("listener.json", conf + "\n")
