"""Analysis tables for BI: counts per day, without anybody's identifier.

Rows of sessions that belong to bots are in none of the counts but those that say so. Tables hold what
adds up, or what cannot be derived from it; ratios are derived where they are read.
"""

from __future__ import annotations

from nightjar.contracts.table import Column, Ratio, Table

#: Marks that stand beside the values of a dimension. A shop's own category or campaign of such a name
#: is counted under OTHER.
ALL, OTHER, NONE = "(all)", "(other)", "(none)"
#: What a session comes from and goes to.
START, END = "(start)", "(end)"

_DT = Column("dt", "date", "The shop's day on which the sessions start.", nullable=False)
_PLATFORM = Column("platform", "string", "Platform of the session's first event; (all) for every one.", nullable=False)
_CATEGORY = Column(
    "category",
    "string",
    "Category of the item as of the day, the `marts.top_categories` with most events; (other), (none) where the item "
    "has none, (all) for every event, those without an item included.",
    nullable=False,
)
_CAMPAIGN = Column(
    "campaign",
    "string",
    "Source of the visit, the day's `marts.top_campaigns` with most sessions; (other), (none), (all).",
    nullable=False,
)
_KNOWN_DAYS = Column(
    "known_days",
    "int",
    "Days before this one that the log covers, at most `marts.lookback_days`: with fewer, less is known of before.",
    "days",
    nullable=False,
)


def _count(name: str, doc: str, unit: str) -> Column:
    return Column(name, "long", doc, unit, nullable=False)


def _value(name: str, doc: str) -> Column:
    return Column(name, "double", doc, "shop's currency", nullable=False)


def _percentiles(name: str, doc: str, unit: str) -> tuple[Column, ...]:
    """Exact ones, interpolated between neighbours; null where nothing was measured."""
    return tuple(
        Column(f"{name}_{which}", "double", f"{what} of {doc}.", unit)
        for which, what in (
            ("p25", "Lower quartile"),
            ("median", "Median"),
            ("p75", "Upper quartile"),
            ("p90", "90th percentile"),
        )
    )


DAILY_KPIS = Table(
    "daily_kpis",
    "What a shop asks first about a day.",
    (
        _DT,
        _PLATFORM,
        _KNOWN_DAYS,
        _count("num_visitors", "Distinct visitors.", "visitors"),
        _count(
            "num_new_visitors",
            "Of them, those without a session in the `marts.lookback_days` before, on whatever platform.",
            "visitors",
        ),
        _count("num_returning_visitors", "Of them, the others.", "visitors"),
        _count("num_persons", "Distinct people on all their devices, as known at the end of the day.", "people"),
        _count("num_logged_in_persons", "Of them, those with a login on this platform that day.", "people"),
        _count("num_sessions", "Sessions.", "sessions"),
        _count("num_bounces", "Sessions with at most one event, impressions aside.", "sessions"),
        _count("num_sessions_with_cart", "Sessions with an addition to the cart.", "sessions"),
        _count("num_sessions_with_purchase", "Sessions with a purchase.", "sessions"),
        _count("num_events", "Events of any kind.", "events"),
        _count("num_views", "Item views.", "events"),
        _count("num_searches", "Searches.", "events"),
        _count("num_carts", "Additions to the cart.", "events"),
        _count("num_purchases", "Purchase rows.", "events"),
        _count("num_returns", "Return rows.", "events"),
        _count("num_reviews", "Reviews.", "events"),
        _count("num_coupons", "Coupon events.", "events"),
        _count("num_clicks", "Clicks on what was shown.", "events"),
        _count("num_impressions", "Times that something was shown.", "events"),
        _count("num_uncarts", "Removals from the cart.", "events"),
        _count("num_favourites", "Additions to a wish list.", "events"),
        _count("num_cancels", "Orders or parts of them withdrawn.", "events"),
        _count("num_orders", "Distinct orders; a session's purchases without an order id are one.", "orders"),
        _count("num_pieces", "Pieces bought; an unknown quantity is one.", "pieces"),
        _value("revenue", "Sum of price x quantity over purchases, before cancellations and returns."),
        _count("num_unpriced_purchases", "Purchase rows without a price: no revenue is counted for them.", "events"),
        _count("num_returned_pieces", "Pieces returned that day, whenever they were bought.", "pieces"),
        _value("returned_value", "Sum of price x quantity over returns; without a price nothing."),
        _count("num_cancelled_pieces", "Pieces withdrawn that day, whenever they were ordered.", "pieces"),
        _value("cancelled_value", "Sum of price x quantity over cancellations; without a price nothing."),
        _count("num_bot_sessions", "Sessions of bots, in no other count.", "sessions"),
        _count("num_bot_events", "Events of bots, in no other count.", "events"),
    ),
    key=("platform",),
    order=("platform",),
    caveats=(
        "People, visitors and orders that use two platforms are in both rows and once in (all).",
        "What happens after midnight belongs to the day on which its session starts.",
    ),
    ratios=(
        Ratio(
            "new_visitor_share",
            "num_new_visitors",
            ("num_visitors",),
            "Share of visitors not seen lately.",
            "0 to 1",
        ),
        Ratio("login_share", "num_logged_in_persons", ("num_persons",), "Share of people who logged in.", "0 to 1"),
        Ratio("bounce_share", "num_bounces", ("num_sessions",), "Share of sessions that went no further.", "0 to 1"),
        Ratio(
            "cart_rate", "num_sessions_with_cart", ("num_sessions",), "Share of sessions that fill a cart.", "0 to 1"
        ),
        Ratio(
            "conversion_rate",
            "num_sessions_with_purchase",
            ("num_sessions",),
            "Share of sessions that buy.",
            "0 to 1",
        ),
        Ratio("average_order_value", "revenue", ("num_orders",), "Revenue of an order.", "shop's currency"),
        Ratio("revenue_per_session", "revenue", ("num_sessions",), "Revenue of a session.", "shop's currency"),
        Ratio("return_rate", "num_returned_pieces", ("num_pieces",), "Pieces returned per piece bought.", "pieces"),
        Ratio(
            "bot_share",
            "num_bot_sessions",
            ("num_sessions", "num_bot_sessions"),
            "Share of all sessions that are bots'.",
            "0 to 1",
        ),
    ),
)

FUNNELS = Table(
    "funnels",
    "How far sessions get from view over cart to purchase.",
    (
        _DT,
        _PLATFORM,
        _CATEGORY,
        _CAMPAIGN,
        _count("num_sessions", "Sessions with an event on an item of the category; with any for (all).", "sessions"),
        _count("num_viewed", "Sessions with a view.", "sessions"),
        _count("num_carted", "Sessions with an addition to the cart, viewed before or not.", "sessions"),
        _count("num_bought", "Sessions with a purchase, whatever came before.", "sessions"),
        _count("num_viewed_carted", "Sessions with a view and later an addition to the cart.", "sessions"),
        _count(
            "num_viewed_carted_bought",
            "Sessions with a view, later an addition to the cart and later a purchase.",
            "sessions",
        ),
        _count("num_lost_after_view", "num_viewed less num_viewed_carted.", "sessions"),
        _count("num_lost_after_cart", "num_viewed_carted less num_viewed_carted_bought.", "sessions"),
    ),
    key=("platform", "category", "campaign"),
    order=("platform", "category", "campaign"),
    caveats=(
        "A session is in every category that it touches, so categories add up to more than (all); platforms and "
        "campaigns add up to it.",
        "Steps are in order within the category, not on one and the same item.",
    ),
    ratios=(
        Ratio("cart_rate", "num_viewed_carted", ("num_viewed",), "Share of viewing sessions that go on.", "0 to 1"),
        Ratio(
            "checkout_rate",
            "num_viewed_carted_bought",
            ("num_viewed_carted",),
            "Share of those with a cart that go on.",
            "0 to 1",
        ),
        Ratio(
            "conversion_rate",
            "num_viewed_carted_bought",
            ("num_viewed",),
            "Share of viewing sessions that reach the end.",
            "0 to 1",
        ),
    ),
)

DECISION_TRANSITIONS = Table(
    "decision_transitions",
    "What people do next within a session.",
    (
        _DT,
        _PLATFORM,
        Column("from_kind", "string", "Kind of an event, among `marts.path_kinds`; or (start).", nullable=False),
        Column("to_kind", "string", "Kind of the next one; or (end).", nullable=False),
        _count("num_transitions", "Times that the one followed the other.", "transitions"),
        _count("num_from", "Times that anything followed from_kind.", "transitions"),
    ),
    key=("platform", "from_kind", "to_kind"),
    order=("platform", "from_kind", "to_kind"),
    caveats=("Every session has one (start) and one (end), also without an event of these kinds.",),
    ratios=(
        Ratio("transition_share", "num_transitions", ("num_from",), "How often from_kind goes on like this.", "0 to 1"),
    ),
)

DECISION_PATHS = Table(
    "decision_paths",
    "The most common ways through a session.",
    (
        _DT,
        _PLATFORM,
        Column(
            "path",
            "string",
            "Kinds in order, such as view>view>cart>purchase; (none) without an event of `marts.path_kinds`, (other) "
            "for all but the `marts.top_paths` of the platform.",
            nullable=False,
        ),
        _count("num_paths", "Different paths in the row: 1, more for (other).", "paths"),
        _count("num_sessions", "Sessions that went this way.", "sessions"),
        _count("num_bought", "Of them, those with a purchase, also beyond the path's end.", "sessions"),
        _count("num_all_sessions", "Sessions of the platform that day.", "sessions"),
    ),
    key=("platform", "path"),
    order=("platform", "path"),
    caveats=(
        "Repeats of one kind on one item are one step, a longer run of one kind reads like `marts.path_max_run`, and "
        "a path ends with … after `marts.path_max_steps`.",
    ),
    ratios=(
        Ratio("session_share", "num_sessions", ("num_all_sessions",), "Share of the platform's sessions.", "0 to 1"),
        Ratio("conversion_rate", "num_bought", ("num_sessions",), "Share of them that buy.", "0 to 1"),
    ),
)

DECISION_TIMES = Table(
    "decision_times",
    "How long people take to buy.",
    (
        _DT,
        _PLATFORM,
        _KNOWN_DAYS,
        _count("num_bought_items", "Different items bought, session by session.", "items"),
        _count(
            "num_viewed_items",
            "Of them, those that the person had viewed within `marts.lookback_days` before, in whatever session.",
            "items",
        ),
        *_percentiles("minutes_from_view", "the time from an item's first such view to its purchase", "minutes"),
        _count("num_sessions", "Sessions with a purchase.", "sessions"),
        *_percentiles("minutes_from_start", "the time from a session's start to its first purchase", "minutes"),
        _count("num_first_sessions", "Of them, those without an earlier session of the person.", "sessions"),
        *_percentiles(
            "sessions_before",
            "the number of the person's earlier sessions within `marts.lookback_days`",
            "sessions",
        ),
    ),
    key=("platform",),
    order=("platform",),
    caveats=("Percentiles do not add up: those of (all) are taken over every purchase.",),
    ratios=(
        Ratio("viewed_share", "num_viewed_items", ("num_bought_items",), "Share of items viewed before.", "0 to 1"),
        Ratio("first_session_share", "num_first_sessions", ("num_sessions",), "Share bought at once.", "0 to 1"),
    ),
)

CART_ABANDONMENT = Table(
    "cart_abandonment",
    "What became of the items that people put into carts.",
    (
        _DT,
        _PLATFORM,
        _CATEGORY,
        _count("num_carts", "Sessions that put an item into the cart.", "sessions"),
        _count("num_lines", "Items put into carts, once per session; the sum of the next four.", "items"),
        _count(
            "num_bought",
            "Bought by the same person within `marts.cart_hours` and `marts.cart_sessions`.",
            "items",
        ),
        _count("num_removed", "Taken out again in the same session, and not bought.", "items"),
        _count("num_abandoned", "Left in the cart, and not bought in that time.", "items"),
        _count("num_open", "Left in the cart while that time is not over; none once it is.", "items"),
        _count("num_recovered", "Abandoned, but bought within `marts.recovery_days`, as far as is known.", "items"),
        _count("num_unpriced", "Abandoned without a known price: missing from the values.", "items"),
        _value("value_abandoned", "Price x quantity of abandoned items."),
        _value("value_recovered", "Price x quantity of the recovered ones, as they lay in the cart."),
        _value("value_left", "value_abandoned less value_recovered."),
    ),
    key=("platform", "category"),
    order=("platform", "category"),
    caveats=(
        "A day's row changes until `marts.recovery_days` later.",
        "A removal empties the item's line; the price is the event's, else the item's as of the day.",
        "A session is in every category of its cart, so num_carts of categories add up to more than (all).",
    ),
    ratios=(
        Ratio(
            "abandonment_rate",
            "num_abandoned",
            ("num_bought", "num_abandoned"),
            "Share of decided items that were left.",
            "0 to 1",
        ),
        Ratio("recovery_rate", "num_recovered", ("num_abandoned",), "Share of left items bought later.", "0 to 1"),
    ),
)

MARTS = (DAILY_KPIS, FUNNELS, DECISION_TRANSITIONS, DECISION_PATHS, DECISION_TIMES, CART_ABANDONMENT)
