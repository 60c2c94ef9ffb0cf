"""A gate that cannot fail is no gate: every expectation is made to fail, by name."""

import json
from datetime import timedelta

import pytest
from tests.quality.healthy import DAY, ROWS, VIOLATIONS, day_facts, event, table_frame

from nightjar.contracts import DATA_QUALITY, EVENTS, IDENTITY, TABLES, GateFailed
from nightjar.quality.facts import NULLABLE_EVENT_COLUMNS, events_facts
from nightjar.quality.gate import check
from nightjar.quality.suites import SUITES
from nightjar.settings import load_conf

pytestmark = pytest.mark.spark

CONF = load_conf()


def passing_facts(table):
    """Facts in the middle of every bound."""
    facts = {"num_rows": float(len(ROWS[table]))}
    for name in VIOLATIONS[table]:
        facts[name] = 1.0 if name.endswith("_ratio") or name.startswith("filled_ratio") else 0.0
    return facts


def judged(table, frame, facts, docs=None):
    return check(TABLES[table], frame, facts, SUITES[table](CONF), partition=TABLES[table].at("shop", DAY), docs=docs)


def failed(report):
    return {verdict.rule.name for verdict in report.verdicts if not verdict.success}


def rules(table, *, on):
    return {rule.name for rule in SUITES[table](CONF).rules if rule.on == on}


@pytest.mark.parametrize("table", SUITES)
def test_a_healthy_day_passes_every_rule(spark, table):
    frame = table_frame(spark, TABLES[table], ROWS[table])
    report = judged(table, frame, day_facts(passing_facts(table)))
    assert failed(report) == set()
    assert {verdict.rule.name for verdict in report.verdicts} == {rule.name for rule in SUITES[table](CONF).rules}
    report.raise_if_failed()


@pytest.mark.parametrize("table", SUITES)
def test_every_rule_on_facts_can_fail(spark, table):
    frame = table_frame(spark, TABLES[table], ROWS[table])
    report = judged(table, frame, day_facts(passing_facts(table) | VIOLATIONS[table]))
    assert failed(report) == set(VIOLATIONS[table])
    with pytest.raises(GateFailed, match="num_duplicate_keys: observed 1, expected 0"):
        report.raise_if_failed()


@pytest.mark.parametrize("table", SUITES)
def test_every_rule_on_types_can_fail(spark, table):
    frame = table_frame(spark, TABLES[table], ROWS[table])
    for column in TABLES[table].columns:
        frame = frame.withColumn(column.name, frame[column.name].isNull().cast("tinyint"))
    report = judged(table, frame, day_facts(passing_facts(table)))
    assert failed(report) == rules(table, on="schema") - {"columns"}


def test_an_extra_column_fails_and_ends_the_check(spark):
    frame = table_frame(spark, EVENTS, ROWS["events"]).selectExpr("*", "1 AS extra")
    report = judged("events", frame, day_facts(passing_facts("events")))
    assert failed(report) == {"columns"}
    assert {verdict.rule.on for verdict in report.verdicts} == {"schema"}


def test_a_day_without_rows_stops(spark):
    report = judged("events", table_frame(spark, EVENTS, []), day_facts({"num_rows": 1}, DAY + timedelta(1)))
    assert report.failures == ["num_rows: observed 0, expected at least 1"]


def test_a_day_on_which_nobody_changed_passes(spark):
    report = judged("identity", table_frame(spark, IDENTITY, []), [{"dt": DAY.isoformat(), "num_rows": 0}])
    assert failed(report) == set()
    assert {verdict.rule.on for verdict in report.verdicts} == {"schema"}


def test_warnings_do_not_stop(spark):
    facts = passing_facts("events") | {"bot_share": 0.75}
    report = judged("events", table_frame(spark, EVENTS, ROWS["events"]), day_facts(facts))
    report.raise_if_failed()
    assert report.warnings == ["bot_share: observed 0.75, expected at most 0.5"]


def test_a_missing_fact_fails_unless_it_compares(spark):
    frame = table_frame(spark, EVENTS, ROWS["events"])
    report = judged("events", frame, day_facts(passing_facts("events") | {"quarantined_share": None}))
    assert report.failures == ["quarantined_share: observed nothing, expected at most 0.05"]


def test_rows_are_those_of_the_ledger(spark):
    frame = table_frame(spark, EVENTS, ROWS["events"])
    report = judged("events", frame, day_facts(passing_facts("events") | {"volume_ratio": None}))
    assert {tuple(row) for row in report.rows} == {DATA_QUALITY.names}
    observed = {row["expectation"]: row["observed"] for row in report.rows}
    assert observed["volume_ratio"] == "nothing: too few earlier days"
    assert report.skipped == ["volume_ratio"]
    assert json.loads(report.to_json())["partition"] == "shop/events/dt=2001-01-15"


def test_no_value_reaches_the_report_or_the_pages(spark, tmp_path):
    rows = [*ROWS["events"], event(20, kind="personnumber0001", platform="devicenumber0001")]
    frame = table_frame(spark, EVENTS, rows)
    facts = events_facts(frame, {DAY: {"rows_read": 21}}, [], gate=CONF.gate, time_zone="UTC")
    report = judged("events", frame, facts, tmp_path)
    assert failed(report) == {"unlisted_rows_kind", "unlisted_rows_platform"}
    written = [path.read_text(encoding="utf-8") for path in tmp_path.rglob("*.*") if path.is_file()]
    assert len(written) > 3
    for text in [report.to_json(), *report.failures, *written]:
        assert "number000" not in text


def test_a_check_reads_no_row(spark):
    """Its time must not grow with the table: only the columns and the facts are looked at."""
    unreadable = table_frame(spark, EVENTS, ROWS["events"]).selectExpr(
        *(name if name != "price" else "raise_error('a row was read') AS price" for name in EVENTS.names)
    )
    frame = unreadable.withColumn("price", unreadable["price"].cast("double"))
    assert failed(judged("events", frame, day_facts(passing_facts("events")))) == set()


def test_what_could_not_be_computed_is_no_verdict_on_the_data(spark):
    frame = table_frame(spark, EVENTS, ROWS["events"])
    facts = passing_facts("events")
    del facts["bot_share"]
    with pytest.raises(RuntimeError, match="expectation bot_share could not be computed"):
        judged("events", frame, day_facts(facts))


def usual_days(num_rows=20, weekend_rows=20, **changes):
    """Facts of the four weeks before, as the lake keeps them."""
    quiet = {f"null_share_{name}": 0.0 for name in NULLABLE_EVENT_COLUMNS}
    days = [DAY - timedelta(days=back) for back in range(28, 0, -1)]
    return [
        {"dt": str(day), "num_rows": weekend_rows if day.weekday() > 4 else num_rows, "last_event_hour": 0.3}
        | quiet
        | {"share_view": 1.0}
        | changes
        for day in days
    ]


def judged_events(spark, rows, trailing, counts=None):
    frame = table_frame(spark, EVENTS, rows)
    drop = {"rows_read": len(rows)} | (counts or {})
    facts = events_facts(frame, {DAY: drop}, trailing, gate=CONF.gate, time_zone="UTC")
    return judged("events", frame, facts)


def test_a_calm_day_after_a_quiet_weekend_passes(spark):
    assert failed(judged_events(spark, ROWS["events"], usual_days(num_rows=25, weekend_rows=2))) == set()


def test_half_of_the_user_ids_gone_stops(spark):
    rows = [event(number, **({"user_id": None} if number % 2 else {})) for number in range(20)]
    report = judged_events(spark, rows, usual_days())
    assert report.failures == [
        "null_share_user_id_rise: observed 0.5, expected at most 0.15",
        "filled_ratio_user_id: observed 0.5, expected at least 0.6",
    ]


def test_half_of_few_user_ids_gone_stops_too(spark):
    rows = [event(number, user_id=None if number else "personnumber0000") for number in range(20)]
    report = judged_events(spark, rows, usual_days(null_share_user_id=0.9))
    assert report.failures == ["filled_ratio_user_id: observed 0.5, expected at least 0.6"]


def test_ten_times_the_volume_stops(spark):
    report = judged_events(spark, ROWS["events"], usual_days(num_rows=2))
    assert report.failures == ["volume_ratio: observed 10, expected 0.2 to 5"]


def test_a_new_kind_stops(spark):
    counts = {"rows_read": 40, "rows_quarantined": 1, "rows_unknown_kind": 1}
    report = judged_events(spark, ROWS["events"], usual_days(), counts)
    assert report.failures == ["unknown_kind_rows: observed 1, expected at most 0"]


def test_nothing_is_compared_without_history(spark):
    report = judged_events(spark, ROWS["events"], usual_days()[:6])
    assert failed(report) == set()
    assert set(report.skipped) == {rule.name for rule in SUITES["events"](CONF).rules if rule.compares}
