"""The site is read from disk: here it is parsed, not looked at."""

import re
from datetime import timedelta

import pytest
from tests.quality.healthy import DAY, ROWS, VIOLATIONS, day_facts, table_frame
from tests.quality.test_gate import CONF, passing_facts

from nightjar.contracts import EVENTS, SEQUENCES, TABLES
from nightjar.quality.docs import add_page
from nightjar.quality.gate import _page, check, expectation_suite
from nightjar.quality.suites import SUITES
from nightjar.settings import load_conf

pytestmark = pytest.mark.spark


def judge(spark, table, site, *, back=0, **changes):
    day = DAY - timedelta(days=back)
    rows = [row | {"dt": day} for row in ROWS[table]]
    facts = day_facts(passing_facts(table) | changes, day)
    frame = table_frame(spark, TABLES[table], rows)
    suite = SUITES[table](CONF)
    return check(TABLES[table], frame, facts, suite, partition=TABLES[table].at("shop", day), docs=site)


def lines(site):
    index = (site / "index.html").read_text(encoding="utf-8")
    body = index.partition("<tbody>")[2]
    return [re.sub("<[^>]+>", "|", line) for line in body.splitlines() if line.startswith("<tr>")]


@pytest.fixture(scope="module")
def site(spark, tmp_path_factory):
    folder = tmp_path_factory.mktemp("docs") / "shop"
    judge(spark, "events", folder, back=1)
    judge(spark, "events", folder, **VIOLATIONS["events"])
    judge(spark, "sequences", folder)
    return folder


def test_index_lists_nights_and_tables_latest_first(site):
    seen = [tuple(cell for cell in line.split("|") if cell)[:3] for line in lines(site)]
    assert seen == [
        ("2001-01-15", "events", " stopped"),
        ("2001-01-15", "sequences", " passed"),
        ("2001-01-14", "events", " passed"),
    ]


def test_index_names_what_failed_and_what_warned(site):
    assert "quarantined_share, unknown_kind_rows" in lines(site)[0]
    assert "bot_share, bot_share_rise, kind_share_distance, silent_hours" in lines(site)[0]


def test_every_link_leads_to_a_page(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) == 6  # the index, three results, two suites
    for page in pages:
        for link in re.findall(r'href="([^"#]+)', page.read_text(encoding="utf-8")):
            assert (page.parent / link).resolve().is_file(), f"{page}: {link}"


def test_pages_reach_for_nothing_outside(site):
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.findall(r"https?://|<script|<img|<link", text), page


def test_pages_name_rules_and_show_what_was_observed(site):
    (page,) = (site / "validations" / "events" / "2001-01-15").rglob("*.html")
    text = page.read_text(encoding="utf-8")
    assert "filled_ratio_user_id" in text
    assert "0.51" in text


def test_no_identifier_is_in_any_file(site):
    written = [path for path in site.rglob("*") if path.suffix in {".html", ".json"}]
    assert len(written) == 6 + 5
    for path in written:
        assert not re.search(r"personnumber|devicenumber|event-\d", path.read_text(encoding="utf-8")), path


def test_checking_again_replaces_the_line(spark, tmp_path):
    judge(spark, "sequences", tmp_path, unsorted_rows=1)
    judge(spark, "sequences", tmp_path)
    assert len(lines(tmp_path)) == 1
    assert "passed" in lines(tmp_path)[0]


def test_the_page_of_a_suite_is_written_when_the_suite_changes(spark, tmp_path):
    judge(spark, "events", tmp_path)
    page = tmp_path / "expectations" / "events.html"
    first = page.stat().st_mtime_ns
    judge(spark, "events", tmp_path)
    assert page.stat().st_mtime_ns == first
    assert "at most 0.51" not in page.read_text(encoding="utf-8")
    suite = SUITES["events"](load_conf(sets=["gate.max_bot_share=0.51"]))
    add_page(tmp_path, EVENTS.at("shop", DAY), expectation_suite(suite, suite.rules), _page([], suite))
    assert "at most 0.51" in page.read_text(encoding="utf-8")


def test_old_nights_are_forgotten(tmp_path):
    suite = SUITES["sequences"](CONF)
    expected = expectation_suite(suite, suite.rules)
    for back in (4, 3, 2, 1):
        partition = SEQUENCES.at("shop", DAY - timedelta(days=back))
        add_page(tmp_path, partition, expected, _page([], suite), max_nights=2)
    assert [re.findall(r"2001-01-\d\d", line) for line in lines(tmp_path)] == [["2001-01-14"], ["2001-01-13"]]
    assert len(list((tmp_path / "validations").rglob("*.html"))) == 2


def test_nothing_is_written_without_a_folder(spark, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    judge(spark, "sequences", None)
    assert list(tmp_path.iterdir()) == []
