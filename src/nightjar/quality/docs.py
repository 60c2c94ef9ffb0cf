"""Data Docs: a static site per shop that people open from disk.

Checks run in an ephemeral context; the index tells of earlier nights too, so results (JSON without any
value of a person's column) are kept in a file store beside the site. Each check then renders its own
page and the index, in place of every night again.

The pages are self-contained. Great Expectations' own ones load styles, scripts and a logo with the
context's id from six hosts: without a network they have no style and their index stays empty, and
with one they tell others that somebody looks. See `pages` for the view that leaves all that out.
"""

from __future__ import annotations

import fcntl
import hashlib
import html
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from nightjar.contracts import Partition

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuite, ExpectationSuiteValidationResult
    from great_expectations.data_context.types.resource_identifiers import (
        ExpectationSuiteIdentifier,
        ValidationResultIdentifier,
    )

#: Nights the site lists; older pages and results are deleted.
MAX_NIGHTS = 30

_STORE = ".results"

#: The few rules that the pages need, in place of Bootstrap and Font Awesome.
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; margin: 0 auto; max-width: 1200px; padding: 1rem 2rem; }
a { color: #0b5cad; text-decoration: none; } a:hover { text-decoration: underline; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; background: #f2f4f7; } th, td { padding: .35rem .7rem; border-bottom: 1px solid #dde1e6; }
td { vertical-align: top; overflow-wrap: anywhere; }
ol.breadcrumb { list-style: none; display: flex; gap: .7rem; padding: 0; color: #667; }
.alert { background: #f2f4f7; border-left: 4px solid #8aa; padding: .5rem .9rem; margin-top: 1.2rem; }
.badge { background: #e7ecf3; border-radius: 4px; padding: 0 .35rem; font-family: ui-monospace, monospace; }
.h6, h1, h2, h3, h4, h5, h6 { font-weight: 600; margin: .2rem 0; }
i { font-style: normal; }
.fa-check-circle::before { content: "\\2714"; color: #15803d; } .fa-times::before { content: "\\2716"; color: #b91c1c; }
.fa-exclamation-triangle::before { content: "\\26A0"; color: #b45309; }
nav ul { columns: 4; list-style: none; padding: 0; font-size: 14px; }
"""

_INDEX = """<!DOCTYPE html>
<html lang="en"><head><meta charset="UTF-8"><title>Data quality of {shop}</title><style>{style}</style></head>
<body>
<h1>Data quality of {shop}</h1>
<p>Each line is one table of one night. A stopped table was not made visible; one that only warned was.</p>
<table>
<thead><tr><th>Day</th><th>Table</th><th>Verdict</th><th>Checks</th><th>Failed</th><th>Warned</th></tr></thead>
<tbody>
{lines}
</tbody>
</table>
</body></html>
"""


def add_page(
    site: Path,
    partition: Partition,
    suite: ExpectationSuite,
    result: ExpectationSuiteValidationResult,
    *,
    max_nights: int = MAX_NIGHTS,
) -> None:
    """Write the pages of the suite and of its result on `partition`, forget old nights, renew the index.

    A second check of the same partition replaces its page. Safe to call from several processes: a
    lock lets one at a time touch the site.
    """
    from great_expectations import __version__

    from nightjar.quality.context import ephemeral_context

    result_key = _key(partition)
    result.meta |= {
        "great_expectations_version": __version__,
        "run_id": result_key.run_id,
        "active_batch_definition": {"data_asset_name": partition.table},
    }
    with _locked(site):
        context = ephemeral_context(site / _STORE)
        results = context.validation_results_store
        results.set(result_key, result)
        _forget(site, results, max_nights)
        changed = [result_key, *_stored_if_new(context, site, suite)]
        # Section by section: the site builder's own `build` copies 4 MB of images and fonts, too.
        for section in _site_builder(context, site, partition.shop).site_section_builders.values():
            section.build(resource_identifiers=changed)
        _write_index(site, partition.shop, results)


def _key(partition: Partition) -> ValidationResultIdentifier:
    """The run is the data's day, not the clock's: a re-run has the same key."""
    from great_expectations.core import RunIdentifier
    from great_expectations.data_context.types.resource_identifiers import (
        ExpectationSuiteIdentifier,
        ValidationResultIdentifier,
    )

    run = RunIdentifier(partition.day.isoformat(), datetime.combine(partition.day, time(), UTC))
    return ValidationResultIdentifier(ExpectationSuiteIdentifier(partition.table), run, partition.shop)


def _stored_if_new(context: Any, site: Path, suite: ExpectationSuite) -> list[ExpectationSuiteIdentifier]:
    """Keep the suite, unless it is the one that is kept: its page then is what it was.

    A suite changes with a setting or a release. To compare it with the stored one, as updating does,
    took Great Expectations 0.6 s for 45 rules, and its page 0.3 s more.
    """
    from great_expectations.data_context.types.resource_identifiers import ExpectationSuiteIdentifier

    key = ExpectationSuiteIdentifier(suite.name)
    page = site / "expectations" / f"{suite.name}.html"
    digest = hashlib.sha256(json.dumps(suite.to_json_dict(), sort_keys=True).encode()).hexdigest()
    mark = site / _STORE / f"{suite.name}.sha256"
    if page.exists() and mark.exists() and mark.read_text(encoding="ascii") == digest:
        return []
    if context.expectations_store.has_key(key):
        context.expectations_store.remove_key(key)
    context.suites.add(suite)
    mark.write_text(digest, encoding="ascii")
    return [key]


def _forget(site: Path, results: Any, max_nights: int) -> None:
    """Delete results and pages of all but the latest nights."""
    keys = results.list_keys()
    nights = sorted({key.run_id.run_name for key in keys})
    for key in keys:
        if key.run_id.run_name in nights[:-max_nights]:
            results.remove_key(key)
            (site / _page_path(key)).unlink(missing_ok=True)


def _site_builder(context: Any, site: Path, shop: str) -> Any:
    from great_expectations.render.renderer.site_builder import SiteBuilder

    view = {"module_name": "nightjar.quality.pages", "class_name": "SelfContainedPageView"}
    return SiteBuilder(
        data_context=context,
        site_name=shop,
        store_backend={"class_name": "TupleFilesystemStoreBackend", "base_directory": str(site)},
        runtime_environment={"data_context": context, "root_directory": None, "site_name": shop},
        show_how_to_buttons=False,
        # "None" is how its YAML spells that a section is off.
        site_section_builders={"expectations": {"view": view}, "validations": {"view": view}, "profiling": "None"},
    )


def _write_index(site: Path, shop: str, results: Any) -> None:
    """One line per night and table, latest first: what failed, what warned, and the way to the page."""
    keys = sorted(results.list_keys(), key=lambda key: key.expectation_suite_identifier.name)
    keys.sort(key=lambda key: str(key.run_id.run_name), reverse=True)
    lines = "\n".join(_index_line(key, _stored(site, key)) for key in keys)
    page = _INDEX.format(shop=html.escape(shop), style=STYLE, lines=lines)
    unfinished = site / ".index.html"
    unfinished.write_text(page, encoding="utf-8")
    unfinished.replace(site / "index.html")


def _index_line(key: Any, result: dict[str, Any]) -> str:
    failed: dict[str, list[str]] = {"stop": [], "warn": []}
    for one in result["results"]:
        meta = one["expectation_config"]["meta"]
        if not one["success"]:
            failed[meta["severity"]].append(meta["name"])
    cells = (
        html.escape(key.run_id.run_name),
        f'<a href="{quote(_page_path(key))}">{html.escape(key.expectation_suite_identifier.name)}</a>',
        '<i class="fa-times text-danger"></i> stopped' if failed["stop"] else '<i class="fa-check-circle"></i> passed',
        str(len(result["results"])),
        html.escape(", ".join(failed["stop"])),
        html.escape(", ".join(failed["warn"])),
    )
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _stored(site: Path, key: Any) -> dict[str, Any]:
    """The stored result as plain JSON: Great Expectations' own reader takes far longer for the same."""
    path = site / _STORE / "validation_results_store" / Path(*key.to_tuple()).with_suffix(".json")
    stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return stored


def _page_path(key: Any) -> str:
    return "/".join(("validations", *key.to_tuple())) + ".html"


@contextmanager
def _locked(site: Path) -> Iterator[None]:
    site.mkdir(parents=True, exist_ok=True)
    with (site / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
