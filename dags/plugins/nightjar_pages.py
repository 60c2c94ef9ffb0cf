"""Views of Nightjar's pages inside Airflow's UI, behind its login: a run's tabs "Report" and "Data Docs".

Who may read a DAG's runs may read its reports, and who may read the nights may read their Data Docs. A report is
found by what the run was asked for: the shop, and the day as `nightly` understands it. Of Data Docs a request names
the page; it is given out only if it is one, below the folder of a shop that has some.
"""

from __future__ import annotations

import html
import os
from datetime import date
from pathlib import Path
from typing import Any

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import requires_access_dag
from airflow.plugins_manager import AirflowPlugin
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from nightjar.contracts import BadInput
from nightjar.settings import day_before, load_shop
from nightjar.stores.home import Home

#: Where the application is mounted; a view's address is relative to Airflow's base.
PREFIX = "/nightjar"

#: The pages are whole in themselves: no scripts, nothing from elsewhere; Airflow may show them in a frame.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; frame-ancestors 'self'"

app = FastAPI(title="Nightjar", description=__doc__, docs_url=None, redoc_url=None, openapi_url=None)


_OF_RUN = [Depends(requires_access_dag("GET", DagAccessEntity.RUN))]


@app.get("/report/{dag_id}/{run_id:path}", response_class=HTMLResponse, dependencies=_OF_RUN)
def report(dag_id: str, run_id: str, session: SessionDep) -> HTMLResponse:
    """The page of the night that this run is about; says what to do when there is none yet."""
    try:
        path = page_of(*_asked(session, dag_id, run_id))
    except (BadInput, ValueError) as error:
        return _said("This run names no night", str(error), status=404)
    if not path.is_file():
        return _said("No report yet", f"{path.parent.name}, {path.stem}: the task report of this run has not ended.")
    return _page(path)


@app.get("/checks/{dag_id}/{run_id:path}", dependencies=_OF_RUN)
def checks(dag_id: str, run_id: str, session: SessionDep, request: Request) -> Response:
    """The Data Docs of the shop that this run is about."""
    try:
        shop = page_of(*_asked(session, dag_id, run_id)).parent.name
    except (BadInput, ValueError) as error:
        return _said("This run names no night", str(error), status=404)
    return RedirectResponse(f"{request.scope['root_path']}/docs/{shop}/index.html")


# Reports link to `../../docs/<shop>/index.html`, from disk and from here.
@app.get(
    "/docs/{shop}/{page:path}",
    response_class=HTMLResponse,
    dependencies=[Depends(requires_access_dag("GET", DagAccessEntity.RUN, "nightly"))],
)
def data_docs(shop: str, page: str) -> HTMLResponse:
    """One page of a shop's Data Docs."""
    sites = Home.from_environment().docs
    site = next((folder for folder in sites.glob("*") if folder.name == shop and folder.is_dir()), None)
    if site is None and page == "index.html":
        return _said("No Data Docs yet", f"No table of {shop} has been checked: the task clean has not ended.")
    path = (site / page.replace("\0", "")).resolve() if site else sites
    if site is None or path.suffix != ".html" or not path.is_relative_to(site.resolve()) or not path.is_file():
        raise HTTPException(404, "no such page")
    return _page(path)


def _asked(session: Any, dag_id: str, run_id: str) -> tuple[dict[str, Any], Any]:
    """What a run was asked for, and its moment."""
    from airflow.models.dagrun import DagRun

    run = session.query(DagRun).filter(DagRun.dag_id == dag_id, DagRun.run_id == run_id).one_or_none()
    if run is None:
        raise HTTPException(404, "no such run")
    return run.conf or {}, run.logical_date or run.run_after


def page_of(conf: dict[str, Any], moment: Any) -> Path:
    """The file that the report of such a run is written to.

    Raises:
        BadInput: no such source.
        ValueError: the day is no date.
    """
    shop = load_shop(conf.get("source") or os.environ.get("NIGHTJAR_SOURCE") or "synthetic")
    day = date.fromisoformat(str(conf["day"])) if conf.get("day") else day_before(moment, shop.time_zone)
    return Home.from_environment().report(shop.name, day)


def _page(path: Path) -> HTMLResponse:
    return HTMLResponse(path.read_text(encoding="utf-8"), headers={"Content-Security-Policy": _POLICY})


def _said(title: str, text: str, *, status: int = 200) -> HTMLResponse:
    page = f"<!doctype html><title>{title}</title><h1>{title}</h1><p>{html.escape(text)}</p>"
    return HTMLResponse(page, status_code=status, headers={"Content-Security-Policy": _POLICY})


class NightjarPages(AirflowPlugin):
    name = "nightjar_pages"
    fastapi_apps = [{"app": app, "url_prefix": PREFIX, "name": "Nightjar"}]  # noqa: RUF012 - as Airflow has it
    external_views = [  # noqa: RUF012
        {
            "name": "Report",
            "href": f"{PREFIX.lstrip('/')}/report/{{DAG_ID}}/{{RUN_ID}}",
            "destination": "dag_run",
            "url_route": "nightjar-report",
        },
        {
            "name": "Data Docs",
            "href": f"{PREFIX.lstrip('/')}/checks/{{DAG_ID}}/{{RUN_ID}}",
            "destination": "dag_run",
            "url_route": "nightjar-data-docs",
        },
    ]
