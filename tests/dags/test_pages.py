"""The night's page inside Airflow: by Airflow's own server, database and login."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

RUN = "manual__2001-01-16T02:00:00+00:00"
MOMENT = datetime(2001, 1, 16, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def client(database: None) -> Iterator[Any]:
    from airflow.api_fastapi.app import create_app
    from fastapi.testclient import TestClient

    with TestClient(create_app(apps="core")) as client:
        yield client


def token_of(role: str) -> str:
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    return str(get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="ann", role=role)))


@pytest.fixture(scope="module")
def token(client: Any) -> str:
    return token_of("viewer")


@pytest.fixture(scope="module")
def run(database: None) -> str:
    """A run of the nightly DAG for 2001-01-15, as the table has it."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from airflow.utils.types import DagRunTriggeredByType, DagRunType

    conf = {"source": "synthetic", "day": "2001-01-15"}
    times = {"logical_date": MOMENT, "run_after": MOMENT}
    kinds: dict[str, Any] = {"run_type": DagRunType.MANUAL, "triggered_by": DagRunTriggeredByType.TEST}
    with create_session() as session:
        session.add(DagRun(dag_id="nightly", run_id=RUN, conf=conf, **times, **kinds))
        session.add(DagRun(dag_id="nightly", run_id="lost", conf={"source": "nobody"}, run_after=MOMENT, **kinds))
    return RUN


def read(client: Any, token: str | None, run: str) -> Any:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return client.get(f"/nightjar/report/nightly/{run.replace('+', '%2B')}", headers=headers)


def test_a_run_shows_its_report(client: Any, token: str, run: str) -> None:
    before = read(client, token, run)
    assert before.status_code == 200
    assert "No report yet" in before.text
    page = Path(os.environ["NIGHTJAR_HOME"]) / "reports" / "synthetic" / "2001-01-15.html"
    page.parent.mkdir(parents=True)
    page.write_text("<!doctype html><p>All is well.</p>")
    found = read(client, token, run)
    assert found.text == page.read_text()
    assert "default-src 'none'" in found.headers["content-security-policy"]


def test_only_who_is_logged_in_reads_it(client: Any, run: str) -> None:
    assert read(client, None, run).status_code == 401
    assert read(client, "invented", run).status_code in (401, 403)


def test_a_run_that_is_none(client: Any, token: str, run: str) -> None:
    assert read(client, token, "nothing").status_code == 404
    assert read(client, token, "..%2F..%2Fetc%2Fpasswd").status_code == 404
    lost = read(client, token, "lost")
    assert lost.status_code == 404
    assert "names no night" in lost.text


@pytest.mark.parametrize(
    ("conf", "found"),
    [
        ({}, "synthetic/2001-01-15.html"),
        ({"day": "2001-01-03"}, "synthetic/2001-01-03.html"),
        ({"source": "retailrocket", "day": None}, "retailrocket/2001-01-15.html"),
    ],
)
def test_the_page_is_that_of_the_run(conf: dict[str, Any], found: str) -> None:
    import nightjar_pages

    path = nightjar_pages.page_of(conf, MOMENT)
    assert path == Path(os.environ["NIGHTJAR_HOME"]) / "reports" / found


def test_every_run_has_the_tab(client: Any) -> None:
    found = client.get("/api/v2/plugins", headers={"Authorization": f"Bearer {token_of('admin')}"})
    views = [view for plugin in found.json()["plugins"] for view in plugin["external_views"]]
    assert {view["name"]: view["destination"] for view in views} == {"Report": "dag_run", "Data Docs": "dag_run"}


# -- Data Docs


@pytest.fixture(scope="module")
def site(run: str) -> Path:
    """A shop's Data Docs, what stands beside them, and a way out of them."""
    home = Path(os.environ["NIGHTJAR_HOME"])
    site = home / "docs" / "synthetic"
    (site / "validations").mkdir(parents=True)
    (site / "index.html").write_text('<!doctype html><a href="validations/events.html">events</a>')
    (site / "validations" / "events.html").write_text("<!doctype html><p>row_count</p>")
    (site / ".results").mkdir()
    (site / ".results" / "suite.json").write_text("{}")
    (home / "secret.html").write_text("secret")
    (site / "way-out.html").symlink_to(home / "secret.html")
    return site


def open_page(client: Any, token: str | None, path: str) -> Any:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return client.get(f"/nightjar/{path}", headers=headers)


def test_a_run_shows_its_shops_data_docs(client: Any, token: str, run: str, site: Path) -> None:
    found = open_page(client, token, f"checks/nightly/{run.replace('+', '%2B')}")
    assert found.url.path == "/nightjar/docs/synthetic/index.html"
    assert found.text == (site / "index.html").read_text()
    assert "default-src 'none'" in found.headers["content-security-policy"]
    below = client.get(
        f"{found.url.join('validations/events.html').path}", headers={"Authorization": f"Bearer {token}"}
    )
    assert below.text == "<!doctype html><p>row_count</p>"


def test_only_who_is_logged_in_reads_data_docs(client: Any, run: str, site: Path) -> None:
    assert open_page(client, None, "docs/synthetic/index.html").status_code == 401
    assert open_page(client, None, f"checks/nightly/{run}").status_code == 401
    assert open_page(client, "invented", "docs/synthetic/index.html").status_code in (401, 403)


@pytest.mark.parametrize(
    "path",
    [
        "docs/synthetic/../../secret.html",
        "docs/synthetic/..%2F..%2Fsecret.html",
        "docs/synthetic/%2e%2e/%2e%2e/secret.html",
        "docs/synthetic/%2Fetc%2Fpasswd",
        "docs/..%2F/secret.html",
        "docs/%2e%2e/secret.html",
        "docs/synthetic/way-out.html",
        "docs/synthetic/.results/suite.json",
        "docs/synthetic/validations",
        "docs/synthetic/index.html%00.html",
        "docs/synthetic/nothing.html",
        "docs/nobody/validations/events.html",
        "checks/nightly/nothing",
        "checks/nightly/lost",
    ],
)
def test_nothing_but_pages_of_a_shop_is_given_out(client: Any, token: str, site: Path, path: str) -> None:
    found = open_page(client, token, path)
    assert found.status_code == 404
    assert "secret" not in found.text


def test_a_shop_that_nobody_has_checked_yet(client: Any, token: str, site: Path) -> None:
    assert "No Data Docs yet" in open_page(client, token, "docs/retailrocket/index.html").text


def test_a_reports_link_to_data_docs_holds_here_too(client: Any, token: str, run: str, site: Path) -> None:
    """From disk it is ../../docs/<shop>/index.html; here the report is at /nightjar/report/<dag>/<run>."""
    from urllib.parse import urljoin

    assert urljoin(f"/nightjar/report/nightly/{run}", "../../docs/synthetic/index.html").endswith(
        "/nightjar/docs/synthetic/index.html"
    )
    assert open_page(client, token, "docs/synthetic/index.html").status_code == 200
