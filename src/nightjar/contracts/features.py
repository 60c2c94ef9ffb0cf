"""What is known of a person at an instant, and what became of it: the two sides of supervised learning.

The instant is the end of the shop's day `dt`. `user_features` looks back from it, `labels` looks ahead;
rows of equal `dt` and `user_id` belong together.
"""

from __future__ import annotations

from dataclasses import replace

from nightjar.contracts.events import Kind, Platform
from nightjar.contracts.table import Column, Table

#: Days up to the instant that counts cover, besides the whole history window; 1 is the day `dt` itself.
WINDOWS_DAYS = (1, 7, 28)

#: Kinds whose succession within a visit is counted, pair by pair.
FUNNEL = (Kind.SEARCH, Kind.VIEW, Kind.CART, Kind.PURCHASE)

#: What tells a person's taste: these kinds of events on items.
TASTE_KINDS = (Kind.VIEW, Kind.CART, Kind.PURCHASE)

#: Kinds that say nothing of what the person did: the shop did it.
PASSIVE_KINDS = (Kind.IMPRESSION,)

#: Hours of the night in the shop's time zone: 00:00 to 05:59.
NIGHT_ENDS_HOUR = 6

#: How many of each kind, as column names say it.
PLURALS: dict[Kind, str] = {
    Kind.VIEW: "views",
    Kind.SEARCH: "searches",
    Kind.CART: "carts",
    Kind.PURCHASE: "purchases",
    Kind.RETURN: "returns",
    Kind.REVIEW: "reviews",
    Kind.COUPON: "coupons",
    Kind.CLICK: "clicks",
    Kind.IMPRESSION: "impressions",
    Kind.UNCART: "uncarts",
    Kind.FAVOURITE: "favourites",
    Kind.CANCEL: "cancels",
}

SHARE = "0 to 1"
CURRENCY = "shop's currency"

_USER_ID = Column("user_id", "string", "Pseudonym of the person.", nullable=False)
_AS_OF = Column("dt", "date", "As of the end of this shop's day: nothing later can move the row.", nullable=False)


def windowed(stem: str) -> dict[str, int | None]:
    """The columns of a count over every window: name to days up to the instant, None for the whole history."""
    return {f"{stem}_{days}d": days for days in WINDOWS_DAYS} | {stem: None}


def transition(before: Kind, after: Kind) -> str:
    """The column that counts how often one kind follows another within a visit."""
    return f"num_{before}_to_{after}"


def _windows(stem: str, what: str, unit: str, kind: str = "int") -> tuple[Column, ...]:
    return tuple(
        Column(name, kind, f"{what} {_within(days)}.", unit, nullable=False) for name, days in windowed(stem).items()
    )


def _within(days: int | None) -> str:
    if days is None:
        return "in the history window"
    return "on the day itself" if days == 1 else f"in the last {days} days"


def _number(name: str, doc: str, unit: str) -> Column:
    return Column(name, "int", doc, unit, nullable=False)


def _measure(name: str, doc: str, unit: str, *, nullable: bool = True) -> Column:
    return Column(name, "double", doc, unit, nullable=nullable)


def _intervals(stem: str, what: str, unit: str, fewest: str) -> tuple[Column, ...]:
    doc = f"pause between {what}; null with {fewest}."
    return (
        _measure(f"{stem}_mean", f"Mean {doc}", unit),
        _measure(f"{stem}_median", f"Median {doc}", unit),
        _measure(f"{stem}_std", f"Standard deviation (of all, not of a sample) of the {doc}", unit),
        _measure(f"{stem}_last", f"Latest {doc}", unit),
    )


def _taste(noun: str, plural: str) -> tuple[Column, ...]:
    where = "views, carts and purchases"
    return (
        _number(f"num_{plural}", f"Distinct {plural} among {where}.", plural),
        Column(f"top_{noun}", "string", f"Most frequent {noun} among {where}, ties by name; null when none is known."),
        _measure(f"top_{noun}_share", f"Its share of those {where} whose {noun} is known.", SHARE),
        _measure(f"{noun}_entropy", f"Shannon entropy of their {plural}: 0 when all are one.", "nats"),
    )


def _prices(stem: str, what: str) -> tuple[Column, ...]:
    where = f"{what}; null without a priced one."
    return (
        _measure(f"{stem}_price_mean", f"Mean price of one piece over {where}", CURRENCY),
        _measure(f"{stem}_price_min", f"Lowest price over {where}", CURRENCY),
        _measure(f"{stem}_price_max", f"Highest price over {where}", CURRENCY),
        _measure(f"{stem}_price_bucket_mean", f"Mean price bucket of the items, over {where}", "deciles"),
    )


USER_FEATURES = Table(
    "user_features",
    "What the log says of one person up to an instant, as numbers.",
    (
        _USER_ID,
        _AS_OF,
        # How much
        *_windows("num_events", "Events of any kind", "events"),
        *(column for kind in Kind for column in _windows(f"num_{PLURALS[kind]}", f"Events of kind {kind}", "events")),
        *_windows("num_sessions", "Visits that begin", "visits"),
        *_windows("num_active_days", "Days with an event", "days"),
        # How long ago
        _measure("hours_since_last_event", "From the latest event to the instant.", "hours", nullable=False),
        _measure("hours_since_last_session", "From the begin of the latest visit.", "hours", nullable=False),
        _measure("hours_since_last_view", "From the latest view; null without one.", "hours"),
        _measure("hours_since_last_cart", "From the latest addition to the cart; null without one.", "hours"),
        _measure("hours_since_last_purchase", "From the latest purchase; null without one.", "hours"),
        _number("tenure_days", "From the first day with an event, within the history window, to `dt`.", "days"),
        # In which rhythm
        *_intervals("event_gap_seconds", "events of one visit", "s", "no visit of two events"),
        *_intervals("session_gap_hours", "the begins of consecutive visits", "hours", "a single visit"),
        _measure("session_seconds_mean", "Mean length of a visit, first to last event.", "s", nullable=False),
        _measure("session_events_mean", "Mean number of events of a visit.", "events", nullable=False),
        _measure("weekend_share", "Share of events on Saturdays and Sundays of the shop.", SHARE, nullable=False),
        # When somebody is awake speaks of work, health and faith.
        replace(
            _measure("night_share", "Share of events from 00:00 to 05:59 in the shop's zone.", SHARE, nullable=False),
            sensitive=True,
        ),
        # By which ways
        *(
            _number(transition(before, after), f"How often a {after} follows a {before} within a visit.", "events")
            for before in FUNNEL
            for after in FUNNEL
        ),
        _measure("share_sessions_with_cart", "Visits with an addition to the cart.", SHARE, nullable=False),
        _measure("share_sessions_with_purchase", "Visits with a purchase.", SHARE, nullable=False),
        *(
            _measure(f"share_entries_{platform}", f"Visits that begin on platform {platform}.", SHARE, nullable=False)
            for platform in Platform
        ),
        Column("last_platform", "string", "Platform of the latest event.", nullable=False),
        _number("num_platforms", "Distinct platforms.", "platforms"),
        _number("num_devices", "Distinct devices.", "devices"),
        _number("num_queries", "Distinct search words as typed.", "queries"),
        _number("num_campaigns", "Distinct campaigns and coupons that events name.", "campaigns"),
        _measure("click_share", "Clicks per impression, at most 1; null without an impression.", SHARE),
        # For how much money
        *_prices("viewed", "views"),
        *_prices("bought", "purchases"),
        *_windows("spend", "Sum of price x quantity over purchases, nothing deducted,", CURRENCY, "double"),
        _number("num_orders", "Distinct orders; purchases without an order number are one order a visit.", "orders"),
        _measure("order_value_mean", "Spend per order; null without an order.", CURRENCY),
        _measure("returned_value", "Sum of price x quantity over returns.", CURRENCY, nullable=False),
        _number("num_open_cart_items", "Items in the open cart.", "items"),
        _measure("open_cart_value", "Sum of price x quantity over the open cart.", CURRENCY, nullable=False),
        # On what
        _number("num_items", "Distinct items of any event.", "items"),
        _number("num_items_bought", "Distinct items bought.", "items"),
        *_taste("category", "categories"),
        *_taste("brand", "brands"),
    ),
    key=("user_id",),
    order=("user_id",),
    caveats=(
        "The history window is `features.history_days` long, also where the lake begins later.",
        "Only events that had landed by `dt` count, so a later night finds the same numbers for the same instant.",
        "Category, brand and price bucket are those of `items` as of the same instant.",
        "A visit across the instant counts with its part before it; whose visit it was, and whether a machine's, "
        "may have become known after it.",
        "An item is in the open cart when its latest cart, uncart or purchase is a cart, at most "
        "`features.open_cart_days` old.",
    ),
)

LABELS = Table(
    "labels",
    "What one person did strictly after an instant, for everybody with features as of it.",
    (
        _USER_ID,
        Column("dt", "date", "The instant is the end of this shop's day.", nullable=False),
        Column("observed_until", "date", "Last shop's day that any label of the row looks at.", nullable=False),
        Column(
            "churn_eligible",
            "boolean",
            "Active within `labels.churn_days` before the instant: who is gone cannot leave.",
            nullable=False,
        ),
        Column(
            "churned", "boolean", "Nothing in the next `labels.churn_days`; null where not eligible or not yet over."
        ),
        Column("purchased_next", "boolean", "Bought within `labels.horizon_days`; null while they are not over."),
        Column("num_purchases_next", "int", "Purchase rows within the horizon; null as above.", "events"),
        Column("num_orders_next", "int", "Distinct orders within the horizon; null as above.", "orders"),
        Column(
            "revenue_next",
            "double",
            "Sum of price x quantity over these purchases, returns and cancels not deducted; null as above.",
            CURRENCY,
        ),
        Column("next_category", "string", "Category of the first item bought within the horizon; null without one."),
        Column("carted_next", "boolean", "Added something to the cart within the horizon; null as above."),
        Column("cart_eligible", "boolean", "The cart is open at the instant.", nullable=False),
        Column(
            "cart_converted",
            "boolean",
            "Bought an item of the open cart within the horizon; null where not eligible or not yet over.",
        ),
        Column("shown_next", "boolean", "Had an impression within the horizon: what a click needs; null as above."),
        Column("clicked_next", "boolean", "Clicked within the horizon; null as above."),
        Column("coupon_claimed_next", "boolean", "Claimed a coupon within the horizon; null as above."),
        Column(
            "coupon_used_next",
            "boolean",
            "Bought within the horizon by a campaign that the person had claimed as a coupon; null as above.",
        ),
    ),
    key=("user_id",),
    order=("user_id",),
    caveats=(
        "Impressions are the shop's doing and no activity: they neither prevent churn nor make eligible for it.",
        "What is done under a login counts for the person of the login and for the visitor whose device it was: "
        "who was anonymous at the instant may log in to buy.",
        "Late events of the horizon's last days may still be missing.",
    ),
)
