"""Superset reads the warehouse: what is loaded into it, and the dashboard as a person sees it."""

from __future__ import annotations

import io
import re
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import yaml
from jobs.ops import bi
from jobs.ops.services import secret
from jobs.ops.setup import SUPERSET
from tests.stores import nights

from nightjar.contracts import BadInput
from nightjar.settings import load_conf
from nightjar.stores.home import Home
from nightjar.stores.warehouse import DuckDbFile, Postgres, Warehouse, publish
from nightjar.stores.warehouse.cloud import Cloud

CHARTS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((bi.FOLDER / "charts").glob("*.yaml"))}


def unpacked(warehouse: Warehouse) -> dict[str, Any]:
    """Name within the bundle -> what the file says."""
    with ZipFile(io.BytesIO(bi.bundle(warehouse))) as archive:
        return {name.removeprefix("nightjar/"): yaml.safe_load(archive.read(name)) for name in archive.namelist()}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Any]:
    return unpacked(DuckDbFile(tmp_path / "warehouse.duckdb"))


def test_charts_read_columns_that_their_views_have(files: dict[str, Any]) -> None:
    datasets = {one["uuid"]: one for name, one in files.items() if name.startswith("datasets/")}
    assert {one["table_name"] for one in datasets.values()} == set(bi.READ)
    for stem, chart in CHARTS.items():
        columns = {column["column_name"] for column in datasets[chart["dataset_uuid"]]["columns"]}
        assert named(chart["params"]) <= columns, stem


def named(params: dict[str, Any]) -> set[str]:
    """Columns that a chart asks for, those in its SQL included."""
    listed = {*params.get("groupby", ()), *params.get("all_columns", ()), *filter(None, [params.get("x_axis")])}
    metrics = [*params.get("metrics", ()), *filter(None, [params.get("metric")]), *params.get("adhoc_filters", ())]
    sql = " ".join(re.sub(r"'[^']*'", "", metric["sqlExpression"]) for metric in metrics)
    return listed | set(re.findall(r"\b[a-z][a-z_]+\b", sql))


def test_the_dashboard_shows_every_chart_once(files: dict[str, Any]) -> None:
    position = files["dashboards/nightjar.yaml"]["position"]
    shown = [part["meta"]["uuid"] for part in position.values() if isinstance(part, dict) and part["type"] == "CHART"]
    assert sorted(shown) == sorted(chart["uuid"] for chart in CHARTS.values())
    for row in (part for part in position.values() if isinstance(part, dict) and part["type"] == "ROW"):
        assert sum(position[child]["meta"]["width"] for child in row["children"]) == 12


def test_no_chart_names_a_person() -> None:
    listed = [column for chart in CHARTS.values() for column in chart["params"].get("groupby", ())]
    listed += [column for chart in CHARTS.values() for column in chart["params"].get("all_columns", ())]
    assert not {"user_id", "row_key", "user_key"} & set(listed)


def test_columns_keep_their_comments(files: dict[str, Any]) -> None:
    for name in bi.READ:
        assert all(column["description"] for column in files[f"datasets/nightjar/{name}.yaml"]["columns"]), name


def test_the_database_is_the_warehouse_and_read_only(files: dict[str, Any], tmp_path: Path) -> None:
    database = files["databases/nightjar.yaml"]
    assert database["sqlalchemy_uri"] == f"duckdb:///{tmp_path}/warehouse.duckdb"
    assert database["extra"]["engine_params"]["connect_args"] == {"read_only": True}
    server = unpacked(Postgres("postgres://u:p@host/db"))["databases/nightjar.yaml"]
    assert server["sqlalchemy_uri"] == "postgresql://u:p@host/db"
    with pytest.raises(BadInput, match="DuckDB and PostgreSQL only"):
        bi.bundle(Cloud("snowflake", lambda: pytest.fail("nothing is opened")))


# -- the real thing


@pytest.fixture
def published(home: Home) -> Home:
    """Three nights with everything that charts read."""
    for day in nights.days(3):
        folder = home.root / "nights" / day.isoformat()
        people = list(nights.LISTS)
        features = nights.features(dict.fromkeys(people, 1), {"p-ada": 5.0}, day=day)
        night = nights.night(folder, day=day, user_features=features)
        night = replace(night, marts=nights.marts(folder, *nights.days(3), num_sessions=9))
        publish(DuckDbFile(home.warehouse), night, nights.conf(), now=nights.at())
    return home


@contextmanager
def serving(home: Home) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    log = (home.root / "superset" / "server.log").open("wb")
    with log, subprocess.Popen(bi.server(port), env=bi.variables(home), stdout=log, stderr=log) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            while process.poll() is None and not is_healthy(url):
                time.sleep(1)
            assert process.returncode is None, (home.root / "superset" / "server.log").read_text()
            yield url
        finally:
            process.terminate()
            process.wait()


def is_healthy(url: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(f"{url}/health") as answer:  # noqa: S310 - our own address
        return bool(answer.status == 200)
    return False


@pytest.mark.slow
def test_superset_shows_the_dashboard(published: Home) -> None:
    if not (SUPERSET.path / "bin" / "superset").exists():
        pytest.skip("no .envs/superset; make bi builds it")
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium on this machine")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    bi.load(published, load_conf().publish)
    bi.load(published, load_conf().publish)  # again: nothing is there twice
    with serving(published) as url, playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = opened.new_page(viewport={"width": 1400, "height": 1900})
        page.set_default_timeout(0)  # a busy machine is no failure
        page.goto(f"{url}/login/")
        page.fill("input[name=username], #username", bi.ADMIN)
        page.fill("input[name=password], #password", secret(published, "superset_password"))
        page.press("input[name=password], #password", "Enter")
        page.wait_for_url(lambda there: "/login" not in there)
        page.goto(url + bi.DASHBOARD)
        page.wait_for_function(
            "many => document.querySelectorAll('.dashboard-chart').length === many"
            " && !document.querySelector('.dashboard-chart .loading')",
            arg=len(CHARTS),
        )
        text = page.inner_text("body")
        page.screenshot(path=published.root / "dashboard.png")
        opened.close()
    assert [chart["slice_name"] for chart in CHARTS.values() if chart["slice_name"] not in text] == []
    assert not re.search("error|went wrong|No results", text, re.IGNORECASE), text
    assert (published.root / "dashboard.png").stat().st_size > 20_000
