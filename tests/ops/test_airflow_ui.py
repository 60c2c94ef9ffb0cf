"""A night from Airflow's UI alone: log in, start it with params, watch it turn green, open every tab and button.

`NIGHTJAR_SCREENSHOTS=docs/images make test-live ONLY=by_hand` keeps pictures of what a person sees; needs a chromium.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jobs.ops.services import USER, Running, password_file, start_airflow, stop
from tests.ops.whole_nights import SHOP, SMALL, environment, free_port

from nightjar.stores.home import Home

DAY = "2026-02-14"

#: A night of the small shop on two slow cores, with room.
NIGHT_SECONDS = 1500


@pytest.fixture
def airflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Home, Running]]:
    home = Home(tmp_path / "home")
    for name, value in environment(home).items():
        monkeypatch.setenv(name, value)
    mlflow = free_port()  # nobody answers there: where the button leads is what counts
    running = start_airflow(home, port=free_port(), scheduled=False, source=SHOP, raw="", mlflow_port=mlflow)
    yield home, running
    stop(home, running)


@pytest.fixture
def page(airflow: tuple[Home, Running]) -> Iterator[Any]:
    """A browser that is logged in."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium on this machine")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    home, running = airflow
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = opened.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(60_000)
        logged_in(page, home, running.airflow_url)
        yield page
        opened.close()


@pytest.fixture
def keep(page: Any) -> Callable[[str], None]:
    """Keep a picture of the page under that name, where pictures are asked for."""
    folder = os.environ.get("NIGHTJAR_SCREENSHOTS")

    def keep(name: str) -> None:
        if folder:
            page.screenshot(path=Path(folder) / f"airflow-{name}.png")

    return keep


def logged_in(page: Any, home: Home, url: str) -> None:
    page.goto(url)
    page.locator("input[name=username]").fill(USER)
    page.locator("input[name=password]").fill(json.loads(password_file(home).read_text())[USER])
    page.get_by_role("button", name="Sign in").click()
    page.get_by_test_id("nav-dags-link").wait_for()


@pytest.mark.live
@pytest.mark.slow
@pytest.mark.spark
def test_a_night_by_hand(airflow: tuple[Home, Running], page: Any, keep: Callable[[str], None]) -> None:
    url = airflow[1].airflow_url
    run = started(page, url, DAY, SMALL)
    turned_green(page, f"{url}/dags/nightly/runs/{run}", keep)
    what_a_run_shows(page, f"{url}/dags/nightly/runs/{run}", keep)
    what_a_task_shows(page, url, run)


def started(page: Any, url: str, day: str, settings: str) -> str:
    """Press Trigger, fill in the form, press Trigger; the new run's id."""
    page.goto(f"{url}/dags/nightly")
    page.get_by_role("button", name="Dag Docs").click()
    for heading in ("What", "When", "Who", "What if"):
        page.get_by_role("dialog").get_by_role("heading", name=heading, exact=True).wait_for()
    page.keyboard.press("Escape")
    page.get_by_test_id("trigger-dag-button").click()
    page.locator("#element_day").fill(day)
    page.locator("#element_set").fill("\n".join(settings.split()))
    with page.expect_response(re.compile(r"/api/v2/dags/nightly/dagRuns$")) as answer:
        page.get_by_role("dialog").get_by_role("button", name="Trigger", exact=True).click()
    asked = answer.value.json()
    assert asked["conf"]["day"] == day
    assert asked["conf"]["set"] == settings.split()
    return str(asked["dag_run_id"])


def turned_green(page: Any, run: str, keep: Callable[[str], None]) -> None:
    """Look at the run until it has ended, as the page itself keeps up with it."""
    page.goto(run)
    badge = page.locator("[data-testid=state-badge]:right-of(h2)").first
    page.wait_for_function(
        "/Success|Failed/.test(document.querySelector('h2 ~ [data-testid=state-badge]')?.innerText)",
        timeout=NIGHT_SECONDS * 1000,
        polling=2000,
    )
    assert badge.inner_text().strip() == "Success"
    page.get_by_role("button", name="Show Graph (Press g)").wait_for()
    page.wait_for_timeout(2000)  # the grid catches up
    keep("night")


def what_a_run_shows(page: Any, run: str, keep: Callable[[str], None]) -> None:
    """Both tabs, and the pages behind them."""
    page.goto(run)
    page.get_by_role("link", name="Report", exact=True).click()
    report = page.frame_locator("iframe")
    report.get_by_role("heading", level=1).wait_for()
    keep("report")
    report.get_by_role("link", name="every expectation of every night").click()  # as it does from disk
    report.get_by_role("heading", name="Data quality of synthetic").wait_for()
    page.get_by_role("link", name="Data Docs", exact=True).click()
    page.wait_for_url(re.compile("nightjar-data-docs$"))
    page.wait_for_timeout(2000)  # the report's frame goes, and has the same heading by now
    checks = page.frame_locator("iframe")
    checks.get_by_role("heading", name="Data quality of synthetic").wait_for()
    keep("datadocs")
    checks.get_by_role("link", name="events", exact=True).first.click()
    checks.get_by_text("Table of Contents").first.wait_for()


def what_a_task_shows(page: Any, url: str, run: str) -> None:
    """The buttons lead to pages that are there, and the sentence stands under Storage, XCom."""
    for name, text in (("Report", "synthetic"), ("Data Docs", "Data quality of synthetic")):
        page.goto(f"{url}/dags/nightly/runs/{run}/tasks/clean/details")
        page.goto(page.locator(f"a[href*='/nightjar/']:has-text('{name}')").first.get_attribute("href"))
        page.get_by_text(text).first.wait_for()
    page.goto(f"{url}/dags/nightly/runs/{run}/tasks/evaluate/details")
    mlflow = page.locator("a:has-text('MLflow')").first
    assert re.search(r"^http://127\.0\.0\.1:\d+/#/models/nightjar_synthetic", mlflow.get_attribute("href"))
    page.goto(f"{url}/dags/nightly/runs/{run}/tasks/clean/xcom")  # "Storage" opens on another tab
    page.get_by_text(re.compile(r"\d rows in, [\d,]+ rows out, [\d,]+ rejected, \d+ warnings, \d+ s")).first.wait_for()
