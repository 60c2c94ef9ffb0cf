"""Where people stand, what is foretold of them, and whom to act on: published, shown and taken back with the night."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.stores import nights
from tests.stores.nights import DAY, ask, put

from nightjar.contracts import USER_SCORES, GateFailed
from nightjar.settings import repository
from nightjar.stores.warehouse import Night, Warehouse, rollback
from nightjar.stores.warehouse.schema import growth

TODAY, TOMORROW = nights.days(2)

#: Ada came last; Bob and Cy never bought.
DAYS_AGO = {"p-ada": 0, "p-bob": 1, "p-cy": 2, "p-dee": 7, "p-eve": 30}
SPEND = {"p-ada": 5.0, "p-dee": 80.0, "p-eve": 20.0}
SCORES = "SELECT score_name, user_id, observed, score, band FROM v_user_scores_current ORDER BY 1, 2"


def scored(folder: Path, *, day: date = DAY, spend: dict[str, float] = SPEND) -> Night:
    return nights.night(
        folder, day=day, user_features=nights.features(DAYS_AGO, spend, day=day), users=nights.users(list(DAYS_AGO))
    )


def test_a_score_is_the_share_of_the_others_who_did_worse(warehouse: Warehouse, tmp_path: Path) -> None:
    put(warehouse, scored(tmp_path))
    assert ask(warehouse, SCORES) == [
        *(("frequency", user, 1.0, 0.0, 1) for user in ("ada", "bob", "cy", "dee", "eve")),
        ("monetary", "ada", 5.0, 0.5, 3),
        ("monetary", "bob", 0.0, 0.0, 1),
        ("monetary", "cy", 0.0, 0.0, 1),
        ("monetary", "dee", 80.0, 1.0, 5),
        ("monetary", "eve", 20.0, 0.75, 4),
        ("recency", "ada", 0.0, 1.0, 5),
        ("recency", "bob", 24.0, 0.75, 4),
        ("recency", "cy", 48.0, 0.5, 3),
        ("recency", "dee", 168.0, 0.25, 2),
        ("recency", "eve", 720.0, 0.0, 1),
    ]


def test_one_column_names_a_row_and_one_joins_the_people(warehouse: Warehouse, tmp_path: Path) -> None:
    put(warehouse, scored(tmp_path))
    rows = ask(
        warehouse,
        "SELECT s.row_key, u.id_kind FROM v_user_scores_current s JOIN v_dim_users u ON u.user_key = s.user_key"
        " WHERE s.score_name = 'recency' ORDER BY 1 LIMIT 1",
    )
    assert rows == [("acme|2001-01-15|recency|ada", "user")]


def test_the_pointer_moves_scores_and_lists_together(warehouse: Warehouse, tmp_path: Path) -> None:
    spend = "SELECT sum(observed) FROM v_user_scores_current WHERE score_name = 'monetary'"
    put(warehouse, scored(tmp_path / "today"))
    put(warehouse, scored(tmp_path / "tomorrow", day=TOMORROW, spend={"p-ada": 1.0}))
    assert ask(warehouse, spend) == [(1.0,)]
    rollback(warehouse, nights.SHOP, TODAY.isoformat(), now=nights.at())
    assert ask(warehouse, spend) == [(105.0,)]


def test_other_scores_alone_are_published_and_the_same_are_not(warehouse: Warehouse, tmp_path: Path) -> None:
    put(warehouse, nights.night(tmp_path / "without"))
    assert ask(warehouse, SCORES) == []
    first = put(warehouse, scored(tmp_path / "first"))
    again = put(warehouse, scored(tmp_path / "again"))
    assert (first.published, again.published) == (True, False)
    assert put(warehouse, scored(tmp_path / "other", spend={})).published
    assert len(ask(warehouse, SCORES)) == 3 * len(DAYS_AGO)


def test_whoever_the_mapping_does_not_know_stops_the_night(warehouse: Warehouse, tmp_path: Path) -> None:
    put(warehouse, nights.night(tmp_path / "today"))
    nobody_mapped_eve = nights.features(DAYS_AGO, SPEND, day=TOMORROW)
    with pytest.raises(GateFailed, match="scored_unknown_users: 3 scores of unknown people"):
        put(warehouse, nights.night(tmp_path / "tomorrow", day=TOMORROW, user_features=nobody_mapped_eve))
    assert ask(warehouse, "SELECT dt FROM publish_current") == [(TODAY,)]


# -- what is foretold

CHURN = {"p-ada": 0.25, "p-bob": 0.5}
FORETOLD = (
    "SELECT row_key, observed, score, band, decile, flagged, contender, model_version, reasons"
    " FROM v_user_scores_current WHERE contender IS NOT NULL ORDER BY row_key"
)
TOLD = [
    ("acme|2001-01-15|churn|ada", None, 0.25, None, 3, False, "trees", "4", '["hours_since_last_event","num_orders"]'),
    ("acme|2001-01-15|churn|bob", None, 0.5, None, 6, True, "trees", "4", '["hours_since_last_event","num_orders"]'),
]


def told(folder: Path, rows: nights.Rows | None = None, *, day: date = DAY) -> Night:
    return nights.night(folder, day=day, foretold=nights.foretold(CHURN, day=day) if rows is None else rows)


def test_what_is_foretold_stands_beside_the_ranks(warehouse: Warehouse, tmp_path: Path) -> None:
    features, users = nights.features(DAYS_AGO, SPEND), nights.users(list(DAYS_AGO))
    put(
        warehouse,
        nights.night(tmp_path, user_features=features, users=users, foretold=nights.foretold(CHURN)),
    )
    assert ask(warehouse, FORETOLD) == TOLD
    ranks = (
        "SELECT count(*), count(observed), count(band), count(reasons) FROM v_user_scores_current WHERE decile IS NULL"
    )
    assert ask(warehouse, ranks) == [(15, 15, 15, 0)]


def test_the_likeliest_of_several_outcomes_is_published_with_its_chance(warehouse: Warehouse, tmp_path: Path) -> None:
    shoes = nights.foretold({"p-ada": 0.4}, score_name="next_category", outcome="shoes")
    put(warehouse, told(tmp_path, [*shoes, *nights.foretold(CHURN)]))
    assert ask(warehouse, "SELECT score_name, user_id, score, outcome FROM v_user_scores_current ORDER BY 1, 2") == [
        ("churn", "ada", 0.25, None),
        ("churn", "bob", 0.5, None),
        ("next_category", "ada", 0.4, "shoes"),
    ]


def test_other_probabilities_are_published_and_the_same_are_not(warehouse: Warehouse, tmp_path: Path) -> None:
    put(warehouse, nights.night(tmp_path / "without"))
    assert put(warehouse, told(tmp_path / "with")).published
    assert not put(warehouse, told(tmp_path / "again")).published
    assert put(warehouse, told(tmp_path / "other", nights.foretold({"p-ada": 0.75}))).published
    assert ask(warehouse, "SELECT user_id, score FROM v_user_scores_current") == [("ada", 0.75)]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (nights.foretold({"p-ada": 1.25}), "foretold_probabilities: 1 probabilities that are none"),
        (nights.foretold({"p-ada": 0.5}, probability=float("nan")), "foretold_probabilities: 1"),
        (nights.foretold({"p-ada": 0.5}, decile=0), "foretold_deciles: 1 deciles outside 1 to 10"),
        (nights.foretold({"p-ada": 0.5}, decile=11), "foretold_deciles: 1"),
        (nights.foretold({"p-ada": 0.5}, dt=TOMORROW), "foretold_foreign_rows: 1 foretold rows of another day"),
        (2 * nights.foretold({"p-ada": 0.5}), "foretold_repeated: 1 scores that are foretold of somebody twice"),
        (nights.foretold({"p-zoe": 0.5}), "scored_unknown_users: 1 scores of unknown people"),
    ],
)
def test_a_foretelling_that_is_none_stops_the_night(
    warehouse: Warehouse, tmp_path: Path, rows: nights.Rows, said: str
) -> None:
    put(warehouse, told(tmp_path / "first"))
    with pytest.raises(GateFailed, match=said):
        put(warehouse, told(tmp_path / "second", rows))
    assert ask(warehouse, FORETOLD) == TOLD


def test_a_task_called_like_a_rank_is_somebody_twice(warehouse: Warehouse, tmp_path: Path) -> None:
    night = nights.night(
        tmp_path,
        user_features=nights.features({"p-ada": 0}, {}),
        foretold=nights.foretold({"p-ada": 0.5}, score_name="monetary"),
    )
    with pytest.raises(GateFailed, match="foretold_repeated: 1"):
        put(warehouse, night)


def test_a_column_that_is_empty_in_the_lake_stops_the_night(warehouse: Warehouse, tmp_path: Path) -> None:
    night = told(tmp_path)
    table = pq.read_table(night.foretold[0])
    empty = pa.nulls(table.num_rows, pa.string())
    pq.write_table(table.set_column(table.column_names.index("contender"), "contender", empty), night.foretold[0])
    with pytest.raises(GateFailed, match="foretold_missing_values: 2 foretold rows with an empty column"):
        put(warehouse, night)


# -- a warehouse of an earlier version


def first_version(warehouse: Warehouse) -> None:
    """Make of `user_scores` what version 1 had, and of the warehouse one without decisions."""
    with warehouse.writer(nights.SHOP, lambda _: None) as db:
        for view in ("v_user_scores_current", "v_decisions_current"):
            db.execute(f"DROP VIEW {view}")
        db.execute("DROP TABLE decisions")
        for column in ("decile", "flagged", "contender", "model_version", "reasons", "outcome"):
            db.execute(f"ALTER TABLE user_scores DROP COLUMN {column}")
        for column in ("observed", "band"):
            db.execute(f"ALTER TABLE user_scores ALTER COLUMN {column} SET NOT NULL")
        db.execute("CREATE VIEW v_user_scores_current AS SELECT * FROM user_scores")
        db.execute("UPDATE warehouse_schema SET fingerprint = 'older'")
        db.changed = True


def test_an_older_warehouse_is_read_and_grows_with_the_next_night(warehouse: Warehouse, tmp_path: Path) -> None:
    put(warehouse, scored(tmp_path / "today"))
    before = ask(warehouse, SCORES)
    first_version(warehouse)
    assert ask(warehouse, SCORES) == before
    put(warehouse, told(tmp_path / "tomorrow", day=TOMORROW))
    assert [row[0].split("|")[1:] for row in ask(warehouse, FORETOLD)] == [
        ["2001-01-16", "churn", "ada"],
        ["2001-01-16", "churn", "bob"],
    ]
    rollback(warehouse, nights.SHOP, TODAY.isoformat(), now=nights.at())
    assert ask(warehouse, SCORES) == before
    assert ask(warehouse, FORETOLD) == []
    assert set(nights.everything(warehouse)) >= {"user_scores", "decisions"}


def test_an_older_warehouse_stays_as_it_is_where_the_night_fails(warehouse: Warehouse, tmp_path: Path) -> None:
    put(warehouse, scored(tmp_path / "today"))
    before = ask(warehouse, SCORES)
    first_version(warehouse)
    with pytest.raises(GateFailed):
        put(warehouse, told(tmp_path / "tomorrow", nights.foretold({"p-ada": 2.0}), day=TOMORROW))
    assert ask(warehouse, SCORES) == before
    put(warehouse, told(tmp_path / "again", day=TOMORROW))
    assert len(ask(warehouse, FORETOLD)) == 2


@pytest.mark.parametrize("dialect", ["snowflake", "bigquery"])
def test_what_an_older_warehouse_of_a_service_would_be_sent(dialect: str) -> None:
    first = dict.fromkeys(USER_SCORES.names[:8], "NO")
    whole = "STRING" if dialect == "bigquery" else "VARCHAR"
    sent = growth(USER_SCORES, dialect, first)
    assert [line.split(" COMMENT ")[0].split(" OPTIONS ")[0] for line in sent] == [
        f"ALTER TABLE user_scores ADD COLUMN decile {'INT64' if dialect == 'bigquery' else 'INTEGER'}",
        f"ALTER TABLE user_scores ADD COLUMN flagged {'BOOL' if dialect == 'bigquery' else 'BOOLEAN'}",
        f"ALTER TABLE user_scores ADD COLUMN contender {whole}",
        f"ALTER TABLE user_scores ADD COLUMN model_version {whole}",
        f"ALTER TABLE user_scores ADD COLUMN reasons {whole}",
        f"ALTER TABLE user_scores ADD COLUMN outcome {whole}",
        "ALTER TABLE user_scores ALTER COLUMN observed DROP NOT NULL",
        "ALTER TABLE user_scores ALTER COLUMN band DROP NOT NULL",
    ]
    assert growth(USER_SCORES, dialect, dict.fromkeys(USER_SCORES.names, "YES")) == []


# -- whom to act on

ARMS = {"p-bob": "act", "p-ada": "control", "p-cy": "act"}
DECIDED = "SELECT row_key, arm, rank, offer, expected_value, score_name FROM v_decisions_current ORDER BY rank"


def decided(folder: Path, rows: nights.Rows | None = None, *, day: date = DAY) -> Night:
    return nights.night(folder, day=day, decisions=nights.decisions(ARMS, day=day) if rows is None else rows)


def test_decisions_are_shown_and_taken_back_with_the_night(warehouse: Warehouse, tmp_path: Path) -> None:
    put(warehouse, decided(tmp_path / "today"))
    today = [
        ("acme|2001-01-15|retention|bob", "act", 1, "call", 10.0, "churn"),
        ("acme|2001-01-15|retention|ada", "control", 2, None, 5.0, "churn"),
        ("acme|2001-01-15|retention|cy", "act", 3, "call", 10 / 3, "churn"),
    ]
    assert ask(warehouse, DECIDED) == today
    assert not put(warehouse, decided(tmp_path / "again")).published
    put(warehouse, decided(tmp_path / "tomorrow", nights.decisions({"p-ada": "act"}, day=TOMORROW), day=TOMORROW))
    assert ask(warehouse, DECIDED) == [("acme|2001-01-16|retention|ada", "act", 1, "call", 10.0, "churn")]
    rollback(warehouse, nights.SHOP, TODAY.isoformat(), now=nights.at())
    assert ask(warehouse, DECIDED) == today


def test_a_decision_joins_the_score_that_decided(warehouse: Warehouse, tmp_path: Path) -> None:
    put(warehouse, nights.night(tmp_path, foretold=nights.foretold(CHURN), decisions=nights.decisions(ARMS)))
    joined = (
        "SELECT d.user_id, s.score FROM v_decisions_current d JOIN v_user_scores_current s"
        " ON s.user_key = d.user_key AND s.score_name = d.score_name ORDER BY d.rank"
    )
    assert ask(warehouse, joined) == [("bob", 0.5), ("ada", 0.25)]


ONE = {"p-ada": "act"}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (nights.decisions({"p-zoe": "act"}), "decisions_unknown_users: 1 decisions on unknown people"),
        (nights.decisions(ONE, shop="other"), "decisions_foreign_rows: 1 decisions of another shop or day"),
        (nights.decisions(ONE, dt=TOMORROW), "decisions_foreign_rows: 1"),
        (nights.decisions(ONE) + nights.decisions(ONE, rank=2), "decisions_repeated: 1 people whom one decision"),
        (nights.decisions(ONE, rank=0), "decisions_ranks: 1 decisions in which two people have one rank"),
        (nights.decisions(ARMS, rank=1), "decisions_ranks: 1"),
        (nights.decisions(ONE, arm="both"), "decisions_arms: 1 decisions that are neither"),
        (nights.decisions({"p-ada": "control"}, cost=1.0), "decisions_arms: 1"),
        (nights.decisions({"p-ada": "control"}, offer="call"), "decisions_arms: 1"),
        (nights.decisions(ONE, cost=-1.0), "decisions_money: 1"),
        (nights.decisions(ONE, expected_value=float("nan")), "decisions_money: 1"),
    ],
)
def test_decisions_that_are_none_stop_the_night(
    warehouse: Warehouse, tmp_path: Path, rows: list[dict[str, Any]], said: str
) -> None:
    with pytest.raises(GateFailed, match=said):
        put(warehouse, decided(tmp_path, rows))


def test_the_readme_answers_as_the_warehouse_does(warehouse: Warehouse, tmp_path: Path) -> None:
    """The page's SQL and its answer as they stand there, asked of a night with the page's people."""
    page = (repository() / "README.md").read_text(encoding="utf-8")
    (question,) = re.findall(r"^    SELECT d\.rank.*?;\n", page, re.DOTALL | re.MULTILINE)
    head, *drawn = re.findall(r"^    │ (.+) │$", page[page.index(question) : page.index("Rank 3 is")], re.MULTILINE)
    answers = [[cell.strip() for cell in row.split("│")] for row in drawn]
    told = {"u10412": (0.62, 7, ["hours_since_last_event", "spend"]), "u10077": (0.81, 9, ["hours_since_last_event"])}
    told |= {"u10555": (0.5, 6, ["spend"]), "u10003": (0.37, 4, ["spend"])}
    stakes = (151.11, 73.36, 40.0, 13.32)
    people = [f"p-{name}" for name in told]
    scores = [
        row
        for person, (score, decile, reasons) in zip(people, told.values(), strict=True)
        for row in nights.foretold({person: score}, decile=decile, reasons=reasons)
    ]
    decided = nights.decisions(dict(zip(people, ("act", "act", "control", "act"), strict=True)))
    decided = [
        row
        | {"expected_value": stake, "reasons": json.dumps(reasons, separators=(",", ":"))}
        | ({"offer": "win back"} if row["arm"] == "act" else {})
        for row, stake, (_, _, reasons) in zip(decided, stakes, told.values(), strict=True)
    ]
    users = nights.users([*nights.LISTS, *people])
    put(warehouse, nights.night(tmp_path, foretold=scores, decisions=decided, users=users))
    found = ask(warehouse, question.strip().removesuffix(";"))
    assert [[str(value) for value in row] for row in found] == answers
    asked = re.findall(r"AS (?!DECIMAL)(\w+)|\b[ds]\.(\w+)(?=,|\n)", question.partition("FROM")[0])
    assert [one or other for one, other in asked] == [name.strip() for name in head.split("│")]
