"""What the analysis tables are cut by: people, platform, category, campaign."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from itertools import chain

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from nightjar.contracts.marts import ALL, NONE, OTHER


def with_member(visits: DataFrame) -> DataFrame:
    """Sessions or their events with `member_id`: the session's login, else its visitor; whom identity knows."""
    return visits.withColumn("member_id", F.coalesce("user_id", "visitor_id"))


def persons_on(identity: DataFrame, as_of: Mapping[date, date]) -> DataFrame:
    """dt, member_id, person_id: members who on that day are another person than themselves.

    Args:
        identity: member_id, person_id, dt, from which day on that holds; a member without a row is its own person.
        as_of: for each day of the tables the day at whose end identity is asked.
    """
    later = F.lead("dt").over(Window.partitionBy("member_id").orderBy("dt"))
    spans = identity.select("member_id", "person_id", F.col("dt").alias("since"), later.alias("until"))
    days = F.create_map(*[F.lit(day) for day in chain.from_iterable(as_of.items())])
    on_days = spans.where(F.col("member_id") != F.col("person_id")).select("*", F.explode(days).alias("dt", "as_of"))
    holds = (F.col("since") <= F.col("as_of")) & (F.col("until").isNull() | (F.col("until") > F.col("as_of")))
    return on_days.where(holds).select("dt", "member_id", "person_id")


def with_person(visits: DataFrame, persons: DataFrame) -> DataFrame:
    """Add `person_id` to rows with `dt` and `member_id`.

    Args:
        persons: from `persons_on`.
    """
    joined = visits.join(persons, ["dt", "member_id"], "left")
    return joined.withColumn("person_id", F.coalesce("person_id", "member_id"))


def with_members(visits: DataFrame, persons: DataFrame) -> DataFrame:
    """Each row once for every member that is the same person on its day; `member_id` becomes that member.

    What people did elsewhere is found by its own member then: the few rows that ask are multiplied, and
    months of sessions stay as they are.
    """
    named = with_person(visits, persons).drop("member_id")
    others = named.join(persons, ["dt", "person_id"])
    # A person is called by one of its members, who has no row among those that are somebody else.
    itself = named.withColumn("member_id", F.col("person_id"))
    return itself.unionByName(others).drop("person_id")


def people_events(session_events: DataFrame, sessions: DataFrame) -> DataFrame:
    """Events of people, not bots; `platform`, `campaign`, `start_ts` and `member_id` are their session's."""
    visits = with_member(sessions.where(~F.col("is_bot"))).select(
        "session_id", "dt", "platform", "campaign", "start_ts", "member_id"
    )
    events = session_events.where(~F.col("is_bot")).select(
        "session_id", "dt", "position", "event_ts", "kind", "item_id", "price", "quantity", "order_id"
    )
    return events.join(visits, ["session_id", "dt"])


def with_item(events: DataFrame, items: DataFrame, as_of: Mapping[date, date], *, top: int) -> DataFrame:
    """Events with the `category` and `list_price` of their item; no category where there is no item.

    Args:
        items: rows of the items table.
        as_of: for each day of events the day of the items that it is cut by.
        top: categories with a name of their own, by `num_events` of their items, then by name.
    """
    totals = items.groupBy("dt", "category").agg(F.sum("num_events").alias("total"))
    named = with_top(items, "category", totals, top=top)
    catalogue = named.select(F.col("dt").alias("_items_dt"), "item_id", "category", F.col("price").alias("list_price"))
    days = F.create_map(*[F.lit(day) for day in chain.from_iterable(as_of.items())]).cast("map<date,date>")
    found = events.withColumn("_items_dt", F.try_element_at(days, "dt")).join(
        catalogue, ["_items_dt", "item_id"], "left"
    )
    category = F.when(F.col("item_id").isNotNull(), F.coalesce("category", F.lit(NONE)))
    return found.withColumn("category", category).drop("_items_dt")


def with_top(frame: DataFrame, name: str, totals: DataFrame, *, top: int) -> DataFrame:
    """Keep the day's largest values of the column `name`, call the others OTHER and nulls NONE.

    Args:
        totals: dt, the column, `total`; equal totals rank by value.
    """
    largest = Window.partitionBy("dt").orderBy(F.col("total").desc(), name)
    # A null is no name and compares to null; a name that reads like a mark would be taken for one.
    ranked = totals.where(~F.col(name).isin(ALL, OTHER, NONE)).withColumn("_rank", F.row_number().over(largest))
    leading = ranked.where(F.col("_rank") <= top).select("dt", name, F.lit(True).alias("_leads"))
    shown = F.when(F.col(name).isNull(), NONE).when(F.col("_leads"), F.col(name)).otherwise(OTHER)
    return frame.join(F.broadcast(leading), ["dt", name], "left").withColumn(name, shown).drop("_leads")


def with_all(frame: DataFrame, *names: str) -> DataFrame:
    """Every row again under ALL, for each combination of the columns."""
    for name in names:
        frame = frame.withColumn(name, F.explode(F.array(F.col(name), F.lit(ALL))))
    return frame


def is_kind(kind: str) -> Column:
    return F.col("kind") == F.lit(kind)


def worth(price: str | Column = "price") -> Column:
    """Price x quantity as a decimal: sums of doubles depend on the order of adding. An unknown quantity is one."""
    column = F.col(price) if isinstance(price, str) else price
    return (column * F.coalesce("quantity", F.lit(1))).cast("decimal(28,6)")


def total(value: Column) -> Column:
    """A sum that is 0 where nothing is added."""
    return F.coalesce(F.sum(value), F.lit(0))


def known_days(first_day: date, lookback_days: int) -> Column:
    """Days before `dt` that a log since `first_day` covers, up to the lookback."""
    return F.least(F.lit(lookback_days), F.greatest(F.lit(0), F.datediff("dt", F.lit(first_day)))).cast("int")
