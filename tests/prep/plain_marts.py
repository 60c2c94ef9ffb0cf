"""The analysis tables by their definitions, one session at a time, in plain Python."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from math import floor

from tests.prep.small_visits import Row, Visit, worth

from nightjar.settings import Marts

Rows = list[Row]
#: Member -> person, of those who are somebody else; as of the day that the rows are of.
Persons = Mapping[str, str]

_COUNTED = {
    "view": "num_views",
    "search": "num_searches",
    "cart": "num_carts",
    "purchase": "num_purchases",
    "return": "num_returns",
    "review": "num_reviews",
    "coupon": "num_coupons",
    "click": "num_clicks",
    "impression": "num_impressions",
    "uncart": "num_uncarts",
    "favourite": "num_favourites",
    "cancel": "num_cancels",
}


def daily_kpis(visits: Sequence[Visit], day: date, conf: Marts, persons: Persons) -> Rows:
    today = of_day(visits, day)
    seen_before = {
        visit.session["visitor_id"]
        for visit in visits
        if not visit.is_bot and timedelta() < day - visit.session["dt"] <= timedelta(days=conf.lookback_days)
    }
    rows = []
    for platform in platforms(today):
        here = [visit for visit in today if platform in ("(all)", visit.session["platform"])]
        people = [visit for visit in here if not visit.is_bot]
        bots = [visit for visit in here if visit.is_bot]
        events = [row for visit in people for row in visit.events]
        bought, returned, cancelled = (of_kind(events, kind) for kind in ("purchase", "return", "cancel"))
        visitors = {visit.session["visitor_id"] for visit in people}
        row = {
            "dt": day,
            "platform": platform,
            "known_days": known_days(visits, day, conf),
            "num_visitors": len(visitors),
            "num_new_visitors": len(visitors - seen_before),
            "num_returning_visitors": len(visitors & seen_before),
            "num_persons": len({visit.person(persons) for visit in people}),
            "num_logged_in_persons": len({visit.person(persons) for visit in people if visit.session["user_id"]}),
            "num_sessions": len(people),
            "num_bounces": sum(sum(row["kind"] != "impression" for row in visit.events) < 2 for visit in people),
            "num_sessions_with_cart": sum(bool(of_kind(visit.events, "cart")) for visit in people),
            "num_sessions_with_purchase": sum(bool(of_kind(visit.events, "purchase")) for visit in people),
            "num_events": len(events),
            "num_orders": len({("o", row["order_id"]) if row["order_id"] else row["session_id"] for row in bought}),
            "num_pieces": pieces(bought),
            "revenue": float(sum(worth(row) for row in bought)),
            "num_unpriced_purchases": sum(row["price"] is None for row in bought),
            "num_returned_pieces": pieces(returned),
            "returned_value": float(sum(worth(row) for row in returned)),
            "num_cancelled_pieces": pieces(cancelled),
            "cancelled_value": float(sum(worth(row) for row in cancelled)),
            "num_bot_sessions": len(bots),
            "num_bot_events": sum(len(visit.events) for visit in bots),
        }
        rows.append(row | {name: len(of_kind(events, kind)) for kind, name in _COUNTED.items()})
    return rows


def funnels(visits: Sequence[Visit], day: date, items: Rows, conf: Marts) -> Rows:
    category_of = categories(items, conf.top_categories)
    today = [visit for visit in of_day(visits, day) if not visit.is_bot]
    campaigns = top(Counter(visit.session["campaign"] for visit in today), conf.top_campaigns)
    cells: dict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
    for visit in today:
        for category in {"(all)"} | {category_of(row["item_id"]) for row in visit.events if row["item_id"]}:
            events = [
                row for row in visit.events if category in ("(all)", row["item_id"] and category_of(row["item_id"]))
            ]
            view, cart, purchase = (positions(events, kind) for kind in ("view", "cart", "purchase"))
            carted = any(v < c for v in view for c in cart)
            through = any(v < c < p for v in view for c in cart for p in purchase)
            reached = {
                "num_sessions": True,
                "num_viewed": bool(view),
                "num_carted": bool(cart),
                "num_bought": bool(purchase),
                "num_viewed_carted": carted,
                "num_viewed_carted_bought": through,
                "num_lost_after_view": bool(view) and not carted,
                "num_lost_after_cart": carted and not through,
            }
            for platform in (visit.session["platform"], "(all)"):
                for campaign in (campaigns(visit.session["campaign"]), "(all)"):
                    cells[platform, category, campaign].update({name: int(yes) for name, yes in reached.items()})
    return [
        {"dt": day, "platform": platform, "category": category, "campaign": campaign, **cell}
        for (platform, category, campaign), cell in cells.items()
    ]


def transitions(visits: Sequence[Visit], day: date, conf: Marts) -> Rows:
    cells: Counter[tuple[str, str, str]] = Counter()
    for visit in of_day(visits, day):
        kinds = ["(start)", *(row["kind"] for row in visit.events if row["kind"] in conf.path_kinds), "(end)"]
        for pair in [] if visit.is_bot else pairwise(kinds):
            cells.update((platform, *pair) for platform in (visit.session["platform"], "(all)"))
    return [
        {
            "dt": day,
            "platform": platform,
            "from_kind": before,
            "to_kind": after,
            "num_transitions": count,
            "num_from": sum(n for (p, b, _), n in cells.items() if (p, b) == (platform, before)),
        }
        for (platform, before, after), count in cells.items()
    ]


def paths(visits: Sequence[Visit], day: date, conf: Marts) -> Rows:
    today = [visit for visit in of_day(visits, day) if not visit.is_bot]
    rows = []
    for platform in platforms(today):
        here = [visit for visit in today if platform in ("(all)", visit.session["platform"])]
        taken = Counter(path(visit, conf) for visit in here)
        ranked = sorted(taken, key=lambda name: (-taken[name], name.encode()))
        named = {name: [name] for name in ranked[: conf.top_paths]}
        if ranked[conf.top_paths :]:
            named["(other)"] = ranked[conf.top_paths :]
        for name, meant in named.items():
            going = [visit for visit in here if path(visit, conf) in meant]
            row = {"dt": day, "platform": platform, "path": name, "num_paths": len(meant), "num_sessions": len(going)}
            bought = sum(bool(of_kind(visit.events, "purchase")) for visit in going)
            rows.append(row | {"num_bought": bought, "num_all_sessions": len(here)})
    return rows


def path(visit: Visit, conf: Marts) -> str:
    told: list[str] = []
    last: Row | None = None
    for row in visit.events:
        if row["kind"] not in conf.path_kinds:
            continue
        again = last and row["item_id"] and (row["kind"], row["item_id"]) == (last["kind"], last["item_id"])
        if not again and told[-conf.path_max_run :] != [row["kind"]] * conf.path_max_run:
            told.append(row["kind"])
        last = row
    end = ["…"] if len(told) > conf.path_max_steps else []
    return ">".join([*told[: conf.path_max_steps], *end]) or "(none)"


def times(visits: Sequence[Visit], day: date, conf: Marts, persons: Persons) -> Rows:
    lookback = timedelta(days=conf.lookback_days)
    people = [visit for visit in visits if not visit.is_bot]
    rows = []
    for platform in platforms(of_day(people, day)):
        here = [visit for visit in of_day(people, day) if platform in ("(all)", visit.session["platform"])]
        from_view: list[Fraction] = []
        from_start: list[Fraction] = []
        before: list[Fraction] = []
        num_items = 0
        for visit in here:
            bought = {row["item_id"]: row["event_ts"] for row in reversed(of_kind(visit.events, "purchase"))}
            num_items += len(bought)
            for name, at in bought.items():
                views = [
                    row["event_ts"]
                    for other in people
                    if other.person(persons) == visit.person(persons)
                    for row in of_kind(other.events, "view")
                    if row["item_id"] == name and at - lookback <= row["event_ts"] <= at
                ]
                if views:
                    from_view.append(minutes(at - min(views)))
            start = visit.session["start_ts"]
            if bought:
                from_start.append(minutes(min(bought.values()) - start))
                earlier = [
                    other
                    for other in people
                    if other.person(persons) == visit.person(persons)
                    and start - lookback <= other.session["start_ts"] < start
                ]
                before.append(Fraction(len(earlier)))
        row: Row = {
            "dt": day,
            "platform": platform,
            "known_days": known_days(visits, day, conf),
            "num_bought_items": num_items,
            "num_viewed_items": len(from_view),
            "num_sessions": len(from_start),
            "num_first_sessions": before.count(Fraction(0)),
        }
        for name, values in (
            ("minutes_from_view", from_view),
            ("minutes_from_start", from_start),
            ("sessions_before", before),
        ):
            for which, share in (("p25", 0.25), ("median", 0.5), ("p75", 0.75), ("p90", 0.9)):
                row[f"{name}_{which}"] = percentile(values, share)
        rows.append(row)
    return rows


def carts(visits: Sequence[Visit], day: date, items: Rows, conf: Marts, until: datetime, persons: Persons) -> Rows:
    category_of = categories(items, conf.top_categories)
    price_of = {row["item_id"]: row["price"] for row in items}
    people = [visit for visit in visits if not visit.is_bot]
    turns: dict[str, list[str]] = defaultdict(list)
    for visit in sorted(people, key=lambda visit: (visit.session["start_ts"], visit.session["session_id"])):
        turns[visit.person(persons)].append(visit.session["session_id"])
    today = of_day(people, day)
    cells: dict[tuple[str, str], Counter[str]] = {(platform, "(all)"): Counter() for platform in platforms(today)}
    values: dict[tuple[str, str], list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0)])
    holders: dict[tuple[str, str], set[str]] = defaultdict(set)
    for visit in today:
        for name in {row["item_id"] for row in of_kind(visit.events, "cart")}:
            lying: Rows = []
            for row in visit.events:
                if row["item_id"] == name and row["kind"] in ("cart", "uncart"):
                    lying = [*lying, row] if row["kind"] == "cart" else []
            opened = next(r["event_ts"] for r in visit.events if (r["kind"], r["item_id"]) == ("cart", name))
            own = turns[visit.person(persons)].index(visit.session["session_id"])
            bought = sorted(
                (row["event_ts"], turns[visit.person(persons)].index(row["session_id"]) - own)
                for other in people
                if other.person(persons) == visit.person(persons)
                for row in of_kind(other.events, "purchase")
                if row["item_id"] == name and row["event_ts"] >= opened
            )
            soon = [
                at
                for at, later in bought[:1]
                if at <= opened + timedelta(hours=conf.cart_hours)
                and (conf.cart_sessions == 0 or later < conf.cart_sessions)
            ]
            late = [at for at, _ in bought[:1] if at <= opened + timedelta(days=conf.recovery_days)]
            is_over = opened + timedelta(hours=conf.cart_hours) <= until
            fate = "bought" if soon else "removed" if not lying else "abandoned" if is_over else "open"
            counts = Counter({"num_lines": 1, f"num_{fate}": 1})
            recovered = fate == "abandoned" and bool(late)
            counts["num_recovered"] += recovered
            counts["num_unpriced"] += fate == "abandoned" and any(
                row["price"] is None and price_of.get(name) is None for row in lying
            )
            value = sum((worth(row, price_of.get(name)) for row in lying), Decimal(0)) if fate == "abandoned" else 0
            for platform in (visit.session["platform"], "(all)"):
                for category in (category_of(name), "(all)"):
                    cells.setdefault((platform, category), Counter()).update(counts)
                    holders[platform, category].add(visit.session["session_id"])
                    values[platform, category][0] += value
                    values[platform, category][1] += value if recovered else 0
    names = ("num_lines", "num_bought", "num_removed", "num_abandoned", "num_open", "num_recovered", "num_unpriced")
    return [
        {"dt": day, "platform": platform, "category": category, "num_carts": len(holders[platform, category])}
        | {name: cell[name] for name in names}
        | {
            "value_abandoned": float(values[platform, category][0]),
            "value_recovered": float(values[platform, category][1]),
            "value_left": float(values[platform, category][0] - values[platform, category][1]),
        }
        for (platform, category), cell in cells.items()
    ]


def categories(items: Rows, number: int) -> Callable[[str], str]:
    weight: Counter[str | None] = Counter()
    for row in items:
        weight[row["category"]] += row["num_events"]
    named, category = top(weight, number), {row["item_id"]: row["category"] for row in items}
    return lambda item: named(category.get(item))


def top(weights: Counter[str | None], number: int) -> Callable[[str | None], str]:
    names = [value for value in weights if value not in (None, "(all)", "(other)", "(none)")]
    kept = sorted(names, key=lambda value: (-weights[value], value))[:number]
    return lambda value: "(none)" if value is None else value if value in kept else "(other)"


def of_day(visits: Iterable[Visit], day: date) -> list[Visit]:
    return [visit for visit in visits if visit.session["dt"] == day]


def of_kind(events: Iterable[Row], kind: str) -> Rows:
    return [row for row in events if row["kind"] == kind]


def positions(events: Iterable[Row], kind: str) -> list[int]:
    return [row["position"] for row in of_kind(events, kind)]


def pieces(events: Iterable[Row]) -> int:
    return sum(1 if row["quantity"] is None else row["quantity"] for row in events)


def platforms(visits: Sequence[Visit]) -> list[str]:
    return [*sorted({visit.session["platform"] for visit in visits}), "(all)"] if visits else []


def known_days(visits: Sequence[Visit], day: date, conf: Marts) -> int:
    return min(conf.lookback_days, (day - min(visit.session["dt"] for visit in visits)).days)


def minutes(duration: timedelta) -> Fraction:
    return Fraction(duration // timedelta(microseconds=1), 60_000_000)


def percentile(values: list[Fraction], share: float) -> float | None:
    """Between the two nearest of the sorted values, at (n - 1) x share."""
    if not values:
        return None
    ordered = sorted(values)
    place = (len(values) - 1) * Fraction(share)
    below = floor(place)
    above = min(below + 1, len(values) - 1)
    return float(ordered[below] + (ordered[above] - ordered[below]) * (place - below))
