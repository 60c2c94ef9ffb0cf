"""The chain from the raw logs to the published view: whole, cut anywhere, and drawn."""

from __future__ import annotations

import itertools
import logging
import xml.etree.ElementTree as ET
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from jobs.ops import lineage

from nightjar.contracts import BadInput, Partition
from nightjar.stores.files import write_json
from nightjar.stores.home import Home
from nightjar.stores.lineage import Run
from nightjar.stores.touched import Outside, Touched
from nightjar.stores.warehouse import what_readers_see

DAY = date(2001, 1, 15)
RAW = Outside.file(Path("/raw/synthetic"))
MODEL = Outside("mlflow", "nightjar_synthetic")

#: job -> tables and others it reads, those it writes
CHAIN: dict[str, tuple[tuple[str | Outside, ...], tuple[str | Outside, ...]]] = {
    "simulate": ((), (RAW,)),
    "clean": ((RAW,), ("events", "quarantine", "data_quality")),
    "sessionize": (("events",), ("sessions", "data_quality")),
    "sequences": (("sessions",), ("sequences", "items")),
    "train": (("sequences",), (MODEL,)),
    "score": (("sequences", "items", MODEL), ("recommendations", "data_quality")),
    "publish": (("recommendations", "items", "data_quality"), tuple(what_readers_see("duckdb"))),
}


def tell(home: Home, job: str, *, day: date = DAY, without: str = "", manifest: bool = True) -> None:
    """One job's run, by the code that tells; with its manifest."""
    reads, writes = CHAIN[job]
    touched = Touched()
    for one in reads:
        touched.sources.add(one) if isinstance(one, Outside) else touched.read.add(one)
    for one in writes:
        touched.targets[one] = None if isinstance(one, Outside) else touched.written.setdefault(one, 5)
    touched.targets = {one: rows for one, rows in touched.targets.items() if isinstance(one, Outside)}
    summary = touched.summary()
    touched.read.discard(without)
    run = Run(home, Partition("synthetic", "events", day), job, logging.getLogger())
    run.started()
    run.done(touched)
    if manifest:
        write_json(home.result("synthetic", day, job), {"status": "done", "tables": summary})


@pytest.fixture
def checked(home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run the command; its output, and what it said as it ended."""

    def check(*more: str) -> str:
        monkeypatch.setattr("sys.argv", ["lineage", *more])
        try:
            lineage.main()
        except SystemExit as end:
            return capsys.readouterr().out + str(end.code)
        return capsys.readouterr().out

    return check


def test_a_whole_night(home: Home, checked: Callable[..., str], tmp_path: Path) -> None:
    for job in CHAIN:
        tell(home, job)
    said = checked("--out", str(tmp_path / "night.svg"))
    assert "night of 2001-01-15: 7 jobs" in said
    assert said.endswith("v_recommendations_current and all the others come from the raw logs\n")
    root = ET.fromstring((tmp_path / "night.svg").read_text())  # noqa: S314 - our own
    text = " ".join(" ".join(root.itertext()).split())
    for job in CHAIN:
        assert job in text
    for name in ("synthetic", "quarantine 5", "recommendations 5", "nightjar_synthetic", "v_recommendations_current"):
        assert name in text
    boxes = [
        tuple(float(box.get(name)) for name in ("x", "y", "width", "height"))
        for box in root.iter("{http://www.w3.org/2000/svg}rect")
        if box.get("x")
    ]
    assert len(boxes) >= 14
    for (x1, y1, w1, h1), (x2, y2, w2, h2) in itertools.combinations(boxes, 2):
        assert x1 + w1 <= x2 or x2 + w2 <= x1 or y1 + h1 <= y2 or y2 + h2 <= y1, "boxes lie over each other"


@pytest.mark.parametrize(
    ("job", "without", "problem"),
    [
        ("sessionize", "events", "sessionize has read events, and did not tell"),
        ("publish", "recommendations", "publish has read recommendations, and did not tell"),
    ],
)
def test_an_edge_that_is_missing(home: Home, checked: Callable[..., str], job: str, without: str, problem: str) -> None:
    for name in CHAIN:
        tell(home, name, without=without if name == job else "")
    said = checked()
    assert problem in said
    assert said.endswith("next: make nightly SOURCE=synthetic DAY=2001-01-15")


def test_what_does_not_come_from_the_raw_logs(home: Home, checked: Callable[..., str]) -> None:
    """Without manifests: by the events alone."""
    for name in CHAIN:
        tell(home, name, without="events" if name == "sessionize" else "", manifest=False)
    said = checked()
    for name in ("sessions", "sequences", "items", "nightjar_synthetic", "recommendations"):
        assert f"{name} does not come from the raw logs" in said
    assert "events does not" not in said
    assert "quarantine does not" not in said


@pytest.mark.parametrize(
    ("lost", "problem"),
    [
        ("sessionize", "nobody wrote sessions, which sequences read"),
        ("clean", "nobody read raw logs"),
        ("publish", "nobody wrote v_recommendations_current"),
    ],
)
def test_a_job_that_told_nothing(home: Home, checked: Callable[..., str], lost: str, problem: str) -> None:
    for job in CHAIN:
        tell(home, job)
    (home.lineage("synthetic", DAY) / f"{lost}.jsonl").unlink()
    said = checked("--day", "2001-01-15")
    assert problem in said
    assert f"{lost} is done, and told nobody" in said


def test_a_model_may_be_an_earlier_nights(home: Home, checked: Callable[..., str]) -> None:
    tell(home, "train", day=date(2001, 1, 14))
    for job in CHAIN:
        if job != "train":
            tell(home, job)
    assert "come from the raw logs" in checked("--day", "2001-01-15")


def test_a_second_training_that_found_nothing_due_hides_no_model(home: Home, checked: Callable[..., str]) -> None:
    for job in CHAIN:
        tell(home, job)
    run = Run(home, Partition("synthetic", "events", DAY), "train", logging.getLogger())
    run.started()
    run.done(Touched())
    assert "come from the raw logs" in checked()


def test_a_night_that_nobody_knows(home: Home, checked: Callable[..., str]) -> None:
    assert (
        checked() == "lineage: no night of synthetic told what it read and wrote\n  next: make nightly SOURCE=synthetic"
    )
    assert "no job told what it read and wrote on the night of 2001-01-15" in checked("--day", "2001-01-15")
    assert "DAY=soon is no day" in checked("--day", "soon")
    with pytest.raises(BadInput):
        lineage.night(home, "synthetic", DAY)
