"""Devices and logins stitched to persons, day by day.

A session of a login on a device links the two from that session's day on, and what links connect is
one person, for all of its events, also those before the first login. Two rules keep members apart:

- A device that more than `max_logins_per_device` logins were seen on is shared. It links nobody, and
  what happens on it without a login is its own, from the day of the one login too many.
- Several logins with more than `max_component_members` devices and logins between them are no person:
  logins stand alone, and only devices of one login stay with theirs.

What holds at the end of a day follows from the links first seen up to then. Links only ever come,
so a night needs the new ones and the components they touch, and equal sessions give equal rows,
whichever nights brought them.
"""

from __future__ import annotations

from datetime import date

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from nightjar.contracts import IDENTITY, IDENTITY_LINKS, ApartRule, IdKind
from nightjar.prep.components import components
from nightjar.settings import Identity

_STATE = ("person_id", "component_id", "apart_rule")


def edges_from(sessions: DataFrame) -> DataFrame:
    """Logins seen on devices by people, each with the first day of a session with both.

    A visitor without a device is its login: nothing is linked.
    """
    linked = sessions.where(~F.col("is_bot") & (F.col("visitor_id") != F.col("user_id")))
    edges = linked.groupBy(F.col("visitor_id").alias("device_id"), "user_id").agg(F.min("dt").alias("dt"))
    return edges.select(*IDENTITY_LINKS.names)


def fresh_links(edges: DataFrame, links: DataFrame) -> DataFrame:
    """Edges that no earlier day has seen.

    Args:
        links: identity_links of the days before all of `edges`.
    """
    # Semi first: few of many links come again, and only these few have to move.
    pair = ["device_id", "user_id"]
    return edges.join(links.join(edges, pair, "left_semi"), pair, "left_anti").select(*IDENTITY_LINKS.names)


def surroundings(fresh: DataFrame, links: DataFrame, rows: DataFrame) -> tuple[DataFrame, DataFrame]:
    """The components that fresh links touch, as they were: (their links that count, their members' rows).

    Args:
        links: identity_links of the days before all of `fresh`.
        rows: identity of the same days.
    """
    met = _latest(rows.join(_members(fresh).select("member_id").distinct(), "member_id", "left_semi"))
    touched = met.select("component_id").distinct()
    # Who was once in a touched component may have left it; the latest row tells.
    candidates = rows.join(touched, "component_id", "left_semi").select("member_id").distinct()
    latest = _latest(rows.join(candidates, "member_id", "left_semi"))
    before = latest.join(touched, "component_id", "left_semi").select(*IDENTITY.names)
    devices = before.where((F.col("id_kind") == IdKind.DEVICE.value) & ~_is_shared())
    near = links.join(devices, links["device_id"] == devices["member_id"], "left_semi")
    return near.select(*IDENTITY_LINKS.names), before


def assignments(fresh: DataFrame, near: DataFrame, before: DataFrame, rules: Identity) -> DataFrame:
    """Rows of `identity` on the days of fresh links: every member whose person, component or rule changed.

    Args:
        near: links that count, of the components around the fresh ones, see `surroundings`.
        before: rows of these components' members as of the day before the first fresh link.
    """
    spans = _spans(fresh, near, before, rules.max_logins_per_device).localCheckpoint()
    # A day is looked at only where it changes something: groups are what links ever connect.
    groups = components(_ends(spans.where(_is_link() & (_until() > F.col("dt")))))
    groups = groups.select(F.col("node.id").alias("member_id"), F.col("component.id").alias("group"))
    grouped = spans.join(groups, "member_id", "left").withColumn("group", F.coalesce("group", "member_id"))
    moments = F.array(F.when(F.col("is_fresh"), F.col("dt")), F.when(F.col("until") >= F.col("dt"), F.col("until")))
    days = grouped.select("group", F.explode(F.array_compact(moments)).alias("day")).distinct()
    on_days = grouped.join(days, "group").where(F.col("dt") <= F.col("day")).localCheckpoint()
    return _changes(_states(on_days, rules), before)


def as_of(rows: DataFrame, day: date) -> DataFrame:
    """The latest row of each member up to the end of the day; a member without one is its own person."""
    return _latest(rows.where(F.col("dt") <= F.lit(day)))


def of_persons(visits: DataFrame, assignment: DataFrame) -> DataFrame:
    """Sessions or their events with `user_id` replaced by the person's pseudonym, which is never null.

    The person is that of the session's login, else that of its visitor.

    Args:
        assignment: one row per member, see `as_of`.
    """
    known = F.coalesce("user_id", "visitor_id")
    # Most members are their own person, and need no partner to join.
    moved = assignment.where(F.col("member_id") != F.col("person_id")).select("member_id", "person_id")
    joined = visits.withColumn("_member", known).join(moved, F.col("_member") == F.col("member_id"), "left")
    return joined.withColumn("user_id", F.coalesce("person_id", "_member")).select(*visits.columns)


def _is_shared() -> Column:
    return F.col("apart_rule").eqNullSafe(ApartRule.SHARED.value)


def _members(links: DataFrame) -> DataFrame:
    """Both ends of each link: member_id, id_kind, dt."""
    devices = links.select(F.col("device_id").alias("member_id"), F.lit(IdKind.DEVICE.value).alias("id_kind"), "dt")
    return devices.union(links.select("user_id", F.lit(IdKind.USER.value), "dt"))


def _latest(rows: DataFrame) -> DataFrame:
    row = F.struct(*[name for name in IDENTITY.names if name != "member_id"])
    return rows.groupBy("member_id").agg(F.max_by(row, "dt").alias("row")).select("member_id", "row.*")


def _spans(fresh: DataFrame, near: DataFrame, before: DataFrame, max_logins: int) -> DataFrame:
    """What there is from `dt` on: links (device_id, user_id), devices and logins (one of them null).

    A link counts before the day `until`, on which its device was seen with one login too many: from then
    on none of the device's links counts. `member_id` is the device, or the login of its own row.
    """
    none = F.lit(None).cast("string")
    is_device = F.col("id_kind") == IdKind.DEVICE.value
    known = before.select(
        F.when(is_device, F.col("member_id")).alias("device_id"),
        F.when(~is_device, F.col("member_id")).alias("user_id"),
        "dt",
        F.lit(False).alias("is_fresh"),
        _is_shared().alias("was_shared"),
    )
    flags = (F.lit(True).alias("is_fresh"), F.lit(False).alias("was_shared"))
    links = fresh.select("*", *flags).union(near.select("*", F.lit(False), F.lit(False)))
    logins = fresh.select(none.alias("device_id"), "user_id", "dt", *flags)
    everything = links.union(logins).union(known).withColumn("member_id", F.coalesce("device_id", "user_id"))

    in_order = Window.partitionBy("member_id").orderBy("dt", "user_id")
    so_far = in_order.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    ever = in_order.rowsBetween(Window.unboundedPreceding, Window.unboundedFollowing)
    num_logins = F.count(F.when(_is_link(), F.lit(1))).over(so_far)
    is_too_many = F.col("was_shared") | (F.col("num_logins") > max_logins)
    until = F.when(_is_link(), F.min(F.when(is_too_many, F.col("dt"))).over(ever))
    counted = everything.withColumn("num_logins", num_logins).withColumn("until", until)
    return counted.select("member_id", "device_id", "user_id", "dt", "until", "is_fresh")


def _is_link() -> Column:
    return F.col("device_id").isNotNull() & F.col("user_id").isNotNull()


def _until() -> Column:
    return F.coalesce("until", F.lit(date.max))


def _ends(links: DataFrame, *within: str) -> DataFrame:
    """Links as pairs of nodes. Logins (0) come before devices (1): a component is called by its smallest login."""
    device = F.struct(*within, F.lit(1).alias("order"), F.col("device_id").alias("id"))
    login = F.struct(*within, F.lit(0).alias("order"), F.col("user_id").alias("id"))
    return links.select(device.alias("upper"), login.alias("lower"))


def _states(on_days: DataFrame, rules: Identity) -> DataFrame:
    """Rows of `identity` for each member and day, changed or not.

    Args:
        on_days: the spans that have begun, once for each `day`.
    """
    held = on_days.where(_is_link() & (F.col("day") < _until()))
    none = F.lit(None).cast("string")
    # Three kinds of findings about a member on a day, brought together by one aggregation instead of two joins.
    kind = F.when(F.col("device_id").isNull(), IdKind.USER.value).otherwise(IdKind.DEVICE.value).alias("id_kind")
    there = on_days.select("day", "member_id", kind, none.alias("login"), none.alias("root"))
    logins = held.select("day", "member_id", none, "user_id", none)
    roots = components(_ends(held, "day")).select("node.day", "node.id", none, none, "component.id")
    found = there.union(logins).union(roots).groupBy("day", "member_id")
    known = found.agg(
        F.max("id_kind").alias("id_kind"),
        F.count("login").alias("num_logins"),
        F.min("login").alias("login"),
        F.coalesce(F.min("root"), F.first("member_id")).alias("component_id"),
    )
    of_component = Window.partitionBy("day", "component_id")
    sized = known.withColumn("num_members", F.count(F.lit(1)).over(of_component).cast("int"))
    sized = sized.withColumn("num_users", F.count_if(F.col("id_kind") == IdKind.USER.value).over(of_component))

    is_shared = (F.col("id_kind") == IdKind.DEVICE.value) & (F.col("num_logins") == 0)
    is_large = (F.col("num_users") > 1) & (F.col("num_members") > rules.max_component_members)
    rule = F.when(is_shared, ApartRule.SHARED.value).when(is_large, ApartRule.LARGE.value)
    alone = F.when(F.col("num_logins") == 1, F.col("login")).otherwise(F.col("member_id"))
    person = F.when(is_shared | is_large, alone).otherwise(F.col("component_id"))
    named = sized.withColumn("apart_rule", rule).withColumn("person_id", person).withColumn("dt", F.col("day"))
    return named.select(*IDENTITY.names)


def _changes(states: DataFrame, before: DataFrame) -> DataFrame:
    """The states that differ from the member's state before them, or have none before."""
    in_order = Window.partitionBy("member_id").orderBy("dt")
    state = F.struct(*_STATE)
    both = states.withColumn("is_new", F.lit(True)).union(before.withColumn("is_new", F.lit(False)))
    changed = ~state.eqNullSafe(F.lag(state).over(in_order))
    return both.withColumn("changed", changed).where("is_new AND changed").select(*IDENTITY.names)
