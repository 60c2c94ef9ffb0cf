"""The page: what it says, that it is whole, and that it fits a phone."""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tests.monitor.example import OF_PEOPLE, RESULTS, night

from nightjar.monitor.night import JOBS, Check, Night, Step
from nightjar.monitor.page import number, percent, render, signed
from nightjar.monitor.realised import Interval

VOID = {"meta", "br", "link", "img"}


class Reader(HTMLParser):
    """Collects text, ids, links and tags that are opened and closed out of order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.ids, self.links, self.stack, self.broken = "", [], [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found[name] for name in ("href", "src") if name in found]
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        if not self.stack or self.stack.pop() != tag:
            self.broken.append(tag)

    def handle_data(self, data: str) -> None:
        if not self.stack or self.stack[-1] != "style":
            self.text += f" {data}"


def said(page: str) -> str:
    return " ".join(Reader(page).text.split())


def nothing() -> Night:
    """A night of which nothing is known."""
    return night(
        steps=tuple(Step(name, "missing") for name in JOBS),
        checks=(),
        trend=(),
        trial=None,
        champion=None,
        recommended=None,
        overlap_yesterday=None,
        docs_link=None,
        kpis=(),
        funnel=(),
        realised=(),
        effects=(),
        movers=(),
        judged=(),
        watched=(),
        of_people=(),
        scores=(),
        decisions=(),
    )


@pytest.mark.parametrize("page", [render(night()), render(nothing())], ids=["full", "empty"])
def test_is_well_formed_and_self_contained(page: str) -> None:
    read = Reader(page)
    assert (read.broken, read.stack) == ([], [])
    assert all(link.startswith(("#", "../")) for link in read.links), read.links
    assert {link[1:] for link in read.links if link.startswith("#")} <= set(read.ids)
    assert not re.search(r"https?://|@import|url\(|<script", page)


def test_says_the_numbers() -> None:
    text = said(render(night()))
    for expected in (
        "Published 40,000 recommendations for 2,000 people.",
        "clean ✓ done 4,210 4,150 12 3.0 MiB 0.81 20.5 12.5",
        "Candidate, version 4 champion from tonight on 0.1121 to 0.1508 0.1312 0.2383 0.1147",
        "Champion so far, version 3 replaced",
        "Decision: promoted.",
        "price_unreadable 9",
        "48 were duplicates; 0 event ids came with more than one content.",
        "644 different items in 2,000 lists, of 760 available; the 10 most recommended take 15 % of all places.",
        "shares 42 % of its items with last night's",
        "because they bought 22 %",
        "Copper kettle sku-0 900 45 % no. 1",
        "0f6f7f9a0c8a4d1cb9e7a2d0c1b2a3f4",
        "9f3b6c1e2d4a4f0f8f4f2b7c6d5e4a3b",
        "visitors 1,312 ▲ +4.1 % ▼ -2.4 %",
        "orders 61 ▲ +5.2 % –",
        "then put in the cart 212 14 %",
        "Of the 1,990 lists of 2001-01-14, 520 belonged to people who came back; 31 % of these held something",
        "buyer share +0.0041 +0.0007 to +0.0075",
        "▲ +483 sku-3, now in 687 lists",
        "drift of kinds events JS 0.004",
        "churn combined, version 3 1,790 31 % 840 2001-01-01 31 % 31 % 0.781 0.024",
        "click rule, version 2 2,000 4.8 % 0 not yet",
        "3 of 3 bounds hold",
        "combined ✓ serves 0.781 +0.050 +0.029 to +0.072 0.021",
        "ahead of the rule by +0.0500 (+0.0290 to +0.0720). Ahead in auroc, 95 % interval, same people.",
        "The ledger does not say how rule, version 2, was chosen.",
        "anomaly, not judged: nobody knows whom it should name.",
        "contender right ahead of the rule rule ✓ serves 24 % – trees 11 % -0.123 -0.150 to -0.090",
        "platform: app 700 31 % 29 % 0.770 0.030",
        "activity: 5 or more visits 300 33 % 29 % – 0.030",
        "coupon by purchase 412 46 188 412.00 of 500.00 1,310.50",
        "fraud review nobody: nothing foretells fraud tonight 0 0 0",
        "coupon 14 nights 5,600 612 3.18 +1.42 (-0.35 to +3.19) +2.1% (-0.4% to +4.6%) purchased next",
    ):
        assert expected in text


def test_titles_of_the_log_are_text() -> None:
    page = render(night())
    assert "<b>chopping</b>" not in page
    assert "Oak &lt;b&gt;chopping&lt;/b&gt; board &amp; knife" in page


def test_missing_pieces_are_said() -> None:
    text = said(render(nothing()))
    for expected in (
        "Nothing was published: readers still see the last complete night.",
        "No model was judged tonight.",
        "No earlier night's lists could be judged yet: that takes the days after them.",
        "No champion: nothing was promoted yet.",
        "The gate recorded nothing for this day.",
        "None: scoring did not run, or the gate stopped it.",
        "not written yet",
        "Nothing is foretold tonight: no task has a model yet, or the night has no features.",
    ):
        assert expected in text


def test_training_that_was_not_due_is_no_failure() -> None:
    counts = {"trained": False, "reason": "the champion is 2 days old"}
    skipped = Step.of("train", RESULTS["train"] | {"counts": counts}, "night-1")
    steps = tuple(skipped if step.name == "train" else step for step in night().steps)
    assert "not trained: the champion is 2 days old ✓ done" in said(render(night(steps=steps)))


def test_a_step_of_another_run_is_marked() -> None:
    steps = tuple(Step.of(name, result, "night-2") for name, result in RESULTS.items())
    assert said(render(night(steps=steps))).count("(of another run)") == len(RESULTS)


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (True, "–"), (0, "0"), (1234567, "1,234,567"), (61.04, "61.0")]
)
def test_number(value: object, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.0, "0 %"), (0.0031, "0.31 %"), (0.096, "9.6 %"), (0.0996, "10 %"), (1.0, "100 %")],
)
def test_percent(value: float | None, text: str) -> None:
    assert percent(value) == text


def test_a_score_that_stops_holding_is_said_above_and_in_its_section() -> None:
    off = Check("realised_scores", "level of churn", "warn", False, "foretold 31 %, happened 12 %")
    text = said(render(night(of_people=(*OF_PEOPLE, off))))
    assert "realised_scores: level of churn: foretold 31 %, happened 12 % more" in text
    assert "! level of churn: foretold 31 %, happened 12 % 3 of 4 bounds hold" in text


def test_signed() -> None:
    assert signed(None, "+.2f") == "–"
    assert signed(Interval(0.5, -0.25, 1234.5), "+,.2f") == "+0.50 (-0.25 to +1,234.50)"


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_screen(width: int, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium on this machine")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    file = tmp_path / "report.html"
    file.write_text(render(night()), encoding="utf-8")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = opened.new_page(viewport={"width": width, "height": 800})
        page.goto(file.as_uri())
        widest = page.evaluate(
            "Math.max(...[...document.querySelectorAll('main *')].map(e => e.getBoundingClientRect().right))"
        )
        scroll = page.evaluate("document.documentElement.scrollWidth")
        spilling = page.evaluate(
            "[...document.querySelectorAll('section')].filter(e => e.scrollWidth > e.clientWidth).map(e => e.id)"
        )
        opened.close()
    assert scroll == width
    assert spilling == []
    assert widest <= width
