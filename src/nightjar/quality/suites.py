"""What must hold before a table becomes visible: plain values, turned into expectations by the gate.

Each suite is a base derived from the table's contract (columns, types, nulls, values, key) and a hand
part for meaning. Columns and types are the table's own, everything else reads its facts: the table
was counted once, and what is judged are numbers. `stop` ends the night, `warn` becomes a metric.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from nightjar.contracts import (
    BOT_RULES,
    CART_ABANDONMENT,
    DAILY_KPIS,
    DECISION_PATHS,
    DECISION_TIMES,
    DECISION_TRANSITIONS,
    EVENTS,
    FUNNELS,
    IDENTITY,
    LABELS,
    MARTS,
    RECOMMENDATIONS,
    SEQUENCES,
    SESSION_EVENTS,
    SESSIONS,
    USER_FEATURES,
    ApartRule,
    IdKind,
    Kind,
    Platform,
    Table,
)
from nightjar.contracts.marts import ALL, END, START
from nightjar.contracts.published import STRATEGIES
from nightjar.settings import Conf, Gate

Severity = Literal["stop", "warn"]

#: Contract type -> Spark type class, as Great Expectations spells it.
_SPARK_TYPES = {
    "string": "StringType",
    "int": "IntegerType",
    "long": "LongType",
    "float": "FloatType",
    "double": "DoubleType",
    "boolean": "BooleanType",
    "timestamp": "TimestampType",
    "date": "DateType",
    "binary": "BinaryType",
}

#: Columns whose values are a closed list, wherever they occur.
LISTED_VALUES: dict[str, tuple[str, ...]] = {
    "kind": tuple(Kind),
    "platform": tuple(Platform),
    "bot_rule": tuple(rule.name for rule in BOT_RULES),
    "last_platform": tuple(Platform),
    "id_kind": tuple(IdKind),
    "apart_rule": tuple(ApartRule),
    "strategy": STRATEGIES,
    "reason_code": (
        "because_viewed",
        "because_carted",
        "because_bought",
        "popular_in_category",
        "popular_on_platform",
        "popular_now",
        "chosen_by_shop",
    ),
    "rule": ("pinned", "cap_given_way"),
    "from_kind": (START, *Kind),
    "to_kind": (*Kind, END),
}


def listed_values(table: Table) -> dict[str, tuple[str, ...]]:
    """The table's columns whose values are a closed list; rows of analysis tables may stand for every platform."""
    values = LISTED_VALUES | ({"platform": (*Platform, ALL)} if table in MARTS else {})
    return {name: values[name] for name in table.names if name in values}


@dataclass(frozen=True)
class Rule:
    """One expectation.

    Attributes:
        name: what errors, ledger and pages call it; a rule on facts has its fact's name.
        on: `schema` rules look at the table's columns, `facts` rules at its row of numbers.
        expectation: the type, in Great Expectations' own spelling.
        compares: needs earlier days; skipped, not failed, while there are too few.
    """

    name: str
    severity: Severity
    on: Literal["schema", "facts"]
    expectation: str
    kwargs: dict[str, Any] = field(hash=False)
    why: str
    compares: bool = False


@dataclass(frozen=True)
class Suite:
    """The rules of one table."""

    table: str
    rules: tuple[Rule, ...]

    def __post_init__(self) -> None:
        names = [rule.name for rule in self.rules]
        if len(set(names)) < len(names):
            raise ValueError(f"suite {self.table}: a name is used twice")

    def to_json(self) -> str:
        return json.dumps({"table": self.table, "rules": [asdict(rule) for rule in self.rules]}, indent=1) + "\n"


def events_suite(conf: Conf) -> Suite:
    gate = conf.gate
    rises: dict[str, Severity] = {
        "user_id": "stop",
        "device_id": "stop",
        "item_id": "stop",
        "price": "stop",
        "received_at": "warn",
    }
    return _suite(
        EVENTS,
        _at_most("quarantined_share", gate.max_quarantined_share, "Most of a drop must be readable."),
        _at_most("unknown_kind_rows", gate.max_unknown_kind_rows, "A new kind needs a line in the mapping first."),
        _at_most("no_actor_rows", 0, "An event without login and device belongs to nobody."),
        _volume("stop", gate),
        *(_null_share_rise(name, severity, gate) for name, severity in rises.items()),
        *(
            _between(
                f"filled_ratio_{name}", gate.min_filled_ratio, None, "Part of the ids stopped arriving.", compares=True
            )
            for name in ("user_id", "device_id")
        ),
        _at_most("duplicate_share", gate.max_duplicate_share, "The collector repeats itself.", "warn"),
        _at_most(
            "duplicate_share_rise",
            gate.max_duplicate_share_rise,
            "The collector repeats itself more than it used to.",
            "warn",
            compares=True,
        ),
        _at_most("conflict_share", gate.max_conflict_share, "One event id, different contents.", "warn"),
        _at_most("repaired_share", gate.max_repaired_share, "Texts arrive in another code page.", "warn"),
        *_bot_shares("Most events come from machines.", gate),
        _at_most(
            "kind_share_distance", gate.max_kind_share_distance, "The mixture of kinds moved.", "warn", compares=True
        ),
        _at_most("silent_hours", gate.max_silent_hours, "The drop may have been cut off.", "warn", compares=True),
        _at_most(
            "complete_later_hours",
            gate.max_complete_later_hours,
            "999 of 1000 events of the drop were received later in the day than usual.",
            "warn",
            compares=True,
        ),
    )


def sessions_suite(conf: Conf) -> Suite:
    gate = conf.gate
    return _suite(
        SESSIONS,
        _exactly_none("events_lost", "Every event is in one session, none in two."),
        _exactly_none("empty_sessions", "A session is named by its first event."),
        _exactly_none("negative_durations", "A session ends after it starts."),
        _exactly_none("overlong_sessions", "Longer visits are cut."),
        _exactly_none("impossible_counts", "Parts cannot exceed the whole."),
        _exactly_none("negative_revenues", "Returns are not counted against purchases."),
        _at_most(
            "max_events_per_session",
            min(gate.max_events_per_session, conf.sessions.max_events),
            "Longer visits are cut.",
        ),
        _at_most("share_at_cap", gate.max_capped_share, "Caps are for machines, not for people.", "warn"),
        _exactly_none("bot_flags_off", "is_bot says that there is a bot_rule."),
        *_bot_shares("Most sessions belong to machines.", gate),
        _between(
            "filled_ratio_user_id",
            gate.min_filled_ratio,
            None,
            "Fewer sessions find their login.",
            "warn",
            compares=True,
        ),
        _volume("warn", gate),
    )


def session_events_suite(conf: Conf) -> Suite:
    return _suite(
        SESSION_EVENTS,
        _exactly_none("events_lost", "Every event is in one session, none in two."),
        _exactly_none("sessions_missing", "Both tables tell of the same sessions."),
        _exactly_none("positions_off", "Positions count 1, 2, 3 within a session."),
        _volume("warn", conf.gate),
    )


def identity_suite(conf: Conf) -> Suite:
    gate = conf.gate
    return _suite(
        IDENTITY,
        _exactly_none("merged_shared_devices", "A device of several logins is nobody's."),
        _exactly_none("strange_persons", "Whom no rule keeps apart is one person with its component."),
        _at_most("shared_device_share", gate.max_shared_device_share, "Devices change hands more than usual.", "warn"),
        _at_most("broken_components", gate.max_broken_components, "Logins were joined into crowds.", "warn"),
        _at_most("largest_person", gate.max_members_per_person, "A login that everybody has is no person.", "warn"),
        may_be_empty=True,
    )


def sequences_suite(conf: Conf) -> Suite:
    return _suite(
        SEQUENCES,
        _exactly_none("unequal_lengths", "The arrays of a row are parallel."),
        _exactly_none("overlong_rows", "Histories are cut to the latest events."),
        _exactly_none("short_counts", "num_events counts before the cut."),
        _exactly_none("unsorted_rows", "Oldest first: models read order as time."),
        _exactly_none("rows_with_ordinal_gaps", "Sessions of a row count 1, 2, 3."),
        _exactly_none("rows_after_instant", "Nothing later than the instant: models would see their own future."),
        _exactly_none("rows_with_nulls", "Arrow readers expect plain numbers."),
        _exactly_none("rows_with_unknown_codes", "An index outside its table crashes or, worse, trains."),
        _volume("warn", conf.gate),
    )


def user_features_suite(conf: Conf) -> Suite:
    gate = conf.gate
    return _suite(
        USER_FEATURES,
        _exactly_none("negative_rows", "Counts, ages, shares and sums of money are not negative."),
        _exactly_none("rows_not_finite", "NaN spreads through whatever is trained on it."),
        _exactly_none("rows_with_shares_above_1", "A part is not more than its whole."),
        _exactly_none("rows_with_broken_windows", "A longer window holds the shorter one."),
        _exactly_none("rows_without_events", "A person is somebody who did something."),
        _exactly_none("rows_after_instant", "Nothing later than the instant: models would see their own future."),
        _between(
            "activity_ratio",
            gate.volume_ratio_min,
            gate.volume_ratio_max,
            "Events per person in a week, beside the usual.",
            "warn",
            compares=True,
        ),
        _between(
            "filled_ratio_top_category",
            gate.min_filled_ratio,
            None,
            "Items lost their categories.",
            "warn",
            compares=True,
        ),
        _volume("warn", gate),
    )


def labels_suite(conf: Conf) -> Suite:
    gate = conf.gate
    return _suite(
        LABELS,
        _exactly_none("rows_not_observed", "A label is written when its horizon is over, not before."),
        _exactly_none("contradictory_rows", "Labels of one row tell one story."),
        _exactly_none("rows_not_finite", "NaN spreads through whatever is trained on it."),
        _at_most(
            "label_rate_distance",
            gate.max_label_rate_distance,
            "The rate of a label moved: people changed, or a field stopped arriving.",
            "warn",
            compares=True,
        ),
        _between(
            "revenue_ratio",
            gate.volume_ratio_min,
            gate.volume_ratio_max,
            "Revenue per person, beside the usual.",
            "warn",
            compares=True,
        ),
        _volume("warn", gate),
    )


def recommendations_suite(conf: Conf) -> Suite:
    return _suite(
        RECOMMENDATIONS,
        _exactly_none("users_missing", "Every eligible person is served."),
        _exactly_none("users_not_eligible", "Nobody else is."),
        _exactly_none("users_with_wrong_count", "k rows each, fewer only where fewer items remain."),
        _exactly_none("users_with_rank_gaps", "Ranks count 1, 2, 3."),
        _exactly_none("users_with_repeats", "An item is shown once."),
        _exactly_none("users_with_rising_scores", "A lower rank never scores higher."),
        _exactly_none("scores_not_finite", "NaN sorts anywhere."),
        _exactly_none("unknown_item_rows", "Only items that exist and may be recommended."),
        _at_most("fallback_share", conf.gate.max_fallback_share, "Popularity serves those without history only."),
        _volume("warn", conf.gate),
    )


def daily_kpis_suite(conf: Conf) -> Suite:
    why = "Revenue beside the usual one on such a weekday."
    gate = conf.gate
    ratio = _between("revenue_ratio", gate.volume_ratio_min, gate.volume_ratio_max, why, "warn", compares=True)
    return _mart_suite(DAILY_KPIS, _totals(), ratio)


def funnels_suite(conf: Conf) -> Suite:
    return _mart_suite(FUNNELS, _totals())


def decision_transitions_suite(conf: Conf) -> Suite:
    return _mart_suite(DECISION_TRANSITIONS, _totals())


def decision_paths_suite(conf: Conf) -> Suite:
    return _mart_suite(DECISION_PATHS)


def decision_times_suite(conf: Conf) -> Suite:
    return _mart_suite(DECISION_TIMES, _totals())


def cart_abandonment_suite(conf: Conf) -> Suite:
    return _mart_suite(CART_ABANDONMENT, _totals())


def _totals() -> Rule:
    return _exactly_none("broken_totals", "Where rows under (all) are sums, they are.")


def _mart_suite(table: Table, *rules: Rule) -> Suite:
    return _suite(
        table,
        _exactly_none("impossible_rows", "Parts cannot exceed the whole, and steps cannot grow."),
        _exactly_none("unreconciled_rows", "The same sessions as in the sessions table, day by day."),
        *rules,
    )


#: Every gated table.
SUITES: dict[str, Callable[[Conf], Suite]] = {
    EVENTS.name: events_suite,
    SESSIONS.name: sessions_suite,
    SESSION_EVENTS.name: session_events_suite,
    IDENTITY.name: identity_suite,
    SEQUENCES.name: sequences_suite,
    USER_FEATURES.name: user_features_suite,
    LABELS.name: labels_suite,
    RECOMMENDATIONS.name: recommendations_suite,
    DAILY_KPIS.name: daily_kpis_suite,
    FUNNELS.name: funnels_suite,
    DECISION_TRANSITIONS.name: decision_transitions_suite,
    DECISION_PATHS.name: decision_paths_suite,
    DECISION_TIMES.name: decision_times_suite,
    CART_ABANDONMENT.name: cart_abandonment_suite,
}


def _suite(table: Table, *rules: Rule, may_be_empty: bool = False) -> Suite:
    base = [rule for rule in _contract_rules(table) if not (may_be_empty and rule.name == "num_rows")]
    return Suite(table.name, (*base, *rules))


def _contract_rules(table: Table) -> list[Rule]:
    columns = {"column_list": list(table.names)}
    rules = [Rule("columns", "stop", "schema", "expect_table_columns_to_match_ordered_list", columns, table.doc)]
    for column in table.columns:
        kwargs = {"column": column.name, "type_": _spark_type(column.type)}
        rules.append(
            Rule(f"type_{column.name}", "stop", "schema", "expect_column_values_to_be_of_type", kwargs, column.doc)
        )
    for column in table.columns:
        if not column.nullable:
            rules.append(_exactly_none(f"null_rows_{column.name}", column.doc))
        if column.name in listed_values(table):
            values = ", ".join(listed_values(table)[column.name])
            rules.append(_exactly_none(f"unlisted_rows_{column.name}", f"Only {values}."))
    rules.append(_between("num_rows", 1, None, "An empty day is a lost day."))
    rules.append(_exactly_none("num_duplicate_keys", f"Each {', '.join(table.key)} occurs once."))
    return rules


def _spark_type(contract_type: str) -> str:
    for prefix, name in (("array<", "ArrayType"), ("map<", "MapType")):
        if contract_type.startswith(prefix):
            return name
    return _SPARK_TYPES[contract_type]


def _between(
    fact: str,
    low: float | None,
    high: float | None,
    why: str,
    severity: Severity = "stop",
    *,
    compares: bool = False,
) -> Rule:
    # The maximum of one row is its value: the pages then show what was observed, where an expectation
    # on values would say that 100 % were unexpected.
    bounds = {name: bound for name, bound in (("min_value", low), ("max_value", high)) if bound is not None}
    kwargs = {"column": fact, **bounds}
    return Rule(fact, severity, "facts", "expect_column_max_to_be_between", kwargs, why, compares)


def _at_most(fact: str, high: float, why: str, severity: Severity = "stop", *, compares: bool = False) -> Rule:
    return _between(fact, None, high, why, severity, compares=compares)


def _exactly_none(fact: str, why: str) -> Rule:
    return _between(fact, 0, 0, why)


def _bot_shares(why: str, gate: Gate) -> list[Rule]:
    more = "More machines than usual, or a rule that began to take people for them."
    return [
        _at_most("bot_share", gate.max_bot_share, why, "warn"),
        _at_most("bot_share_rise", gate.max_bot_share_rise, more, "warn", compares=True),
    ]


def _null_share_rise(column: str, severity: Severity, gate: Gate) -> Rule:
    why = "A field stopped arriving."
    return _at_most(f"null_share_{column}_rise", gate.max_null_share_rise, why, severity, compares=True)


def _volume(severity: Severity, gate: Gate) -> Rule:
    why = "Rows beside the usual number on such a weekday."
    return _between("volume_ratio", gate.volume_ratio_min, gate.volume_ratio_max, why, severity, compares=True)
