"""Where each person stands by recency, frequency and spend: the scores that segments of CRM tools are cut by.

The fifths of recency, frequency and monetary value are direct marketing's oldest (Hughes, Strategic Database
Marketing, 1994). Here a score is a person's percent rank, so that equals share one, and whoever never bought is
in the lowest fifth however many they are.
"""

# ruff: noqa: S608 - only names from contracts and paths of our own are put into SQL; every value is bound

from __future__ import annotations

from collections.abc import Sequence

from nightjar.contracts import USER_SCORES, Partition
from nightjar.stores.warehouse.audits import Audit
from nightjar.stores.warehouse.connection import Connection
from nightjar.stores.warehouse.workbench import Workbench, parquet

#: Score -> column of user_features, and whether more of it is better.
SCORES = {
    "recency": ("hours_since_last_event", False),
    "frequency": ("num_sessions", True),
    "monetary": ("spend", True),
}

_BANDS = 5


def stage_user_scores(bench: Workbench, features: Sequence[str]) -> None:
    """Have `stage_user_scores(score_name, pseudonym, observed, score)`, without a row where there are no features."""
    bench.view("stage_user_scores", " UNION ALL ".join(_ranked(name, features) for name in SCORES))


def _ranked(name: str, features: Sequence[str]) -> str:
    column, more_is_better = SCORES[name]
    source = parquet(features) if features else f"(SELECT NULL AS user_id, NULL AS {column} WHERE false)"
    direction = "ASC" if more_is_better else "DESC"
    return (
        f"SELECT '{name}' AS score_name, CAST(user_id AS VARCHAR) AS pseudonym, CAST({column} AS DOUBLE) AS observed,"
        f" percent_rank() OVER (ORDER BY {column} {direction}) AS score FROM {source}"
    )


def user_scores_audits() -> list[Audit]:
    """Everybody who is scored is known to the mapping, so that nobody is lost on the way to the shop's ids."""
    unknown = "NOT EXISTS (SELECT 1 FROM people p WHERE p.pseudonym = s.pseudonym)"
    return [
        Audit(
            "scored_unknown_users",
            "scores of unknown people",
            f"SELECT count(*) FROM stage_user_scores s WHERE {unknown}",
        )
    ]


def load_user_scores(db: Connection, partition: Partition) -> None:
    """Swap the night's rows, for the shop's own ids."""
    shop, day = partition.shop, partition.day
    columns = dict.fromkeys(USER_SCORES.names, "") | {
        "row_key": f"'{shop}|{day.isoformat()}|' || s.score_name || '|' || p.shop_id",
        "shop": f"'{shop}'",  # a shop's name is letters, digits and _
        "dt": f"DATE '{day.isoformat()}'",
        "score_name": "s.score_name",
        "user_id": "p.shop_id",
        "observed": "s.observed",
        "score": "s.score",
        "band": f"CAST(least(floor(s.score * {_BANDS}) + 1, {_BANDS}) AS INTEGER)",
    }
    selected = ", ".join(f"{sql} AS {name}" for name, sql in columns.items())
    rows = f"SELECT {selected} FROM stage_user_scores s JOIN people p ON p.pseudonym = s.pseudonym"
    db.replace_night(USER_SCORES.name, shop, day, rows)
