"""Scores of people: where each stands by recency, frequency and spend, and what is foretold of them.

The fifths of recency, frequency and monetary value are direct marketing's oldest (Hughes, Strategic Database
Marketing, 1994). Here such a score is a person's percent rank, so that equals share one, and whoever never bought is
in the lowest fifth however many they are. What is foretold is a calibrated probability, with its decile and reasons.
"""

# ruff: noqa: S608 - only names from contracts and paths of our own are put into SQL; every value is bound

from __future__ import annotations

from collections.abc import Sequence

from nightjar.contracts import USER_SCORES, Partition
from nightjar.contracts.render import WAREHOUSE_TYPES
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
_DECILES = 10

#: Column of `stage_user_scores` -> SQL over `foretold`.
_OF_FORETOLD = {
    "score_name": "score_name",
    "pseudonym": "user_id",
    "dt": "dt",
    "score": "probability",
    "decile": "decile",
    "flagged": "flagged",
    "contender": "contender",
    "model_version": "model_version",
    "reasons": "CAST(to_json(reasons) AS VARCHAR)",
    "outcome": "outcome",
}


def stage_user_scores(bench: Workbench, partition: Partition, features: Sequence[str], foretold: Sequence[str]) -> None:
    """Have `stage_user_scores`, without ranks where there are no features, and without what nothing foretold.

    Its columns are those of `user_scores`, with `pseudonym` for the person's id, and `is_foretold`.
    """
    night = f"DATE '{partition.day.isoformat()}'"
    ranked = [_row(_ranked(name) | {"dt": night}, parquet(features), "false") for name in SCORES] if features else []
    told = [_row(_OF_FORETOLD, parquet(foretold), "true")] if foretold else []
    nothing = _row({}, "(SELECT 1 WHERE false)", "false")
    bench.view("stage_user_scores", " UNION ALL ".join([*ranked, *told] or [nothing]))


def _row(columns: dict[str, str], source: str, is_foretold: str) -> str:
    """A SELECT of every staged column; what is not given is null."""
    types = {column.name: WAREHOUSE_TYPES["duckdb"][column.type] for column in USER_SCORES.columns}
    staged = ("pseudonym", *(name for name in USER_SCORES.names if name not in ("row_key", "shop", "user_id")))
    selected = ", ".join(
        f"CAST({columns.get(name, 'NULL')} AS {types.get(name, 'VARCHAR')}) AS {name}" for name in staged
    )
    return f"SELECT {selected}, {is_foretold} AS is_foretold FROM {source}"


def _ranked(name: str) -> dict[str, str]:
    column, more_is_better = SCORES[name]
    rank = f"percent_rank() OVER (ORDER BY {column} {'ASC' if more_is_better else 'DESC'})"
    return {
        "score_name": f"'{name}'",
        "pseudonym": "user_id",
        "observed": column,
        "score": rank,
        "band": f"least(floor({rank} * {_BANDS}) + 1, {_BANDS})",
    }


def user_scores_audits(partition: Partition) -> list[Audit]:
    """What is foretold is whole; and everybody with a score is known, so that nobody is lost on the way to the shop."""
    staged = "SELECT count(*) FROM stage_user_scores s WHERE"
    told = f"{staged} is_foretold AND"
    said = ("score_name", "flagged", "contender", "model_version", "reasons")
    unknown = "NOT EXISTS (SELECT 1 FROM people p WHERE p.pseudonym = s.pseudonym)"
    return [
        Audit("scored_unknown_users", "scores of unknown people", f"{staged} {unknown}"),
        Audit(
            "foretold_probabilities",
            "probabilities that are none",
            # NaN is above every number, and no comparison with null is true.
            f"{told} (s.score IS NULL OR NOT (isfinite(s.score) AND s.score BETWEEN 0 AND 1))",
        ),
        Audit(
            "foretold_deciles",
            f"deciles outside 1 to {_DECILES}",
            f"{told} (s.decile IS NULL OR s.decile NOT BETWEEN 1 AND {_DECILES})",
        ),
        Audit(
            "foretold_missing_values",
            "foretold rows with an empty column",
            f"{told} ({' OR '.join(f's.{name} IS NULL' for name in said)})",
        ),
        Audit(
            "foretold_foreign_rows",
            "foretold rows of another day",
            f"{told} s.dt IS DISTINCT FROM $1",
            (partition.day,),
        ),
        Audit(
            "foretold_repeated",
            "scores that are foretold of somebody twice",
            "SELECT count(*) FROM (SELECT 1 FROM stage_user_scores s JOIN people p ON p.pseudonym = s.pseudonym"
            " GROUP BY s.score_name, p.shop_id HAVING count(*) > 1 AND bool_or(s.is_foretold)) t",
        ),
    ]


def load_user_scores(db: Connection, partition: Partition) -> tuple[int, int]:
    """Swap the night's rows, for the shop's own ids; returns how many there are now, and how many were staged."""
    shop, day = partition.shop, partition.day
    columns = {name: f"s.{name}" for name in USER_SCORES.names} | {
        "row_key": f"'{shop}|{day.isoformat()}|' || s.score_name || '|' || p.shop_id",
        "shop": f"'{shop}'",  # a shop's name is letters, digits and _
        "user_id": "p.shop_id",
    }
    selected = ", ".join(f"{sql} AS {name}" for name, sql in columns.items())
    rows = f"SELECT {selected} FROM stage_user_scores s JOIN people p ON p.pseudonym = s.pseudonym"
    return db.replace_night(USER_SCORES.name, shop, day, rows), db.bench.number(
        "SELECT count(*) FROM stage_user_scores"
    )
