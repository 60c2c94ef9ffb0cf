"""Row rules and bot rules: what an event must not be, and what makes its actor a machine.

A rule is written once, here. `prep` evaluates it, the quarantine and the report name it, the data
dictionary lists it. A row rule is Spark SQL over the columns of a mapped row, true where the row is
bad (null counts as good); `{clean.max_price}` stands for a setting.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from nightjar.contracts.events import ITEM_KINDS, Kind, Platform

#: Columns that name things: they are compared, never read, so a damaged one is the name of something else.
ID_COLUMNS = ("event_id", "user_id", "device_id", "item_id", "order_id")

#: Words for people, of which the last three are attributes. Damaged ones are repaired or withdrawn, and what
#: was sent is kept in the attributes under the name with this ending.
TEXTS = ("query", "title", "category", "brand")
AS_SENT = "_as_sent"

#: Whatever may need a closer look; nearly every id is plain ASCII, and one class is searched for in a third of
#: the time that the patterns below take.
NOT_PRINTABLE_ASCII = "[^ -~]"

#: Control characters of ASCII, and those with their upper half and the replacement character that readers put
#: where bytes were no text.
CONTROLS = r"[\x00-\x1F\x7F]"
UNREADABLE = r"[\x00-\x1F\x7F-\x9F\uFFFD]"

#: What Windows-1252, the code page most mistaken for UTF-8, shows for the bytes 0x80 to 0x9F. Five of them
#: are not taken; readers pass those through.
WINDOWS_1252 = {
    byte: bytes([byte]).decode("cp1252") for byte in range(0x80, 0xA0) if byte not in b"\x81\x8d\x8f\x90\x9d"
}
_FOLLOWING = r"[\x80-\xBF" + "".join(f"\\u{ord(shown):04X}" for shown in WINDOWS_1252.values()) + "]"
#: UTF-8 read as a one-byte code page, as in 'cafÃ©': the first byte of a character and all that must follow.
#: First bytes are those of Latin, Greek, Cyrillic, punctuation, Chinese, Japanese, Korean and emoji; others
#: (such as 0xDF, a German sharp s) are more often what they look like.
MOJIBAKE = (
    rf"[\xC2-\xC5\xCE-\xD1]{_FOLLOWING}|[\xE2-\xED]{_FOLLOWING}{_FOLLOWING}"
    rf"|\xF0{_FOLLOWING}{_FOLLOWING}{_FOLLOWING}"
)


@dataclass(frozen=True)
class RowRule:
    """One reason to reject a row.

    Attributes:
        name: the reason, as `quarantine.reasons` holds it.
        doc: what the rejected row is like.
        template: Spark SQL with settings in braces; `clean` and `source` are theirs.
    """

    name: str
    doc: str
    template: str

    @property
    def settings(self) -> tuple[str, ...]:
        """Settings that the template names, such as `clean.max_price`."""
        fields = (field for _, field, _, _ in string.Formatter().parse(self.template))
        return tuple(dict.fromkeys(field for field in fields if field))

    def sql(self, **sections: object) -> str:
        """The expression with every setting as a literal."""
        return _Literals().format(self.template, **sections)


class _Literals(string.Formatter):
    """Fills a template with SQL literals, so that no setting can be read as SQL."""

    def format_field(self, value: object, format_spec: str) -> str:
        assert not format_spec, f"a literal has no format: {format_spec}"
        return literal(value)


def literal(value: object) -> str:
    """A plain value in Spark SQL; a sequence as what stands between the parentheses of IN."""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"{value!r}D"
    if isinstance(value, date):
        return f"DATE'{value.isoformat()}'"
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    if isinstance(value, Sequence):
        return ", ".join(map(literal, value)) or "NULL"  # nothing is in (NULL)
    raise TypeError(f"no literal for {value!r}")


def _fixed(value: object) -> str:
    """A literal within a template: its own braces doubled."""
    return literal(value).replace("{", "{{").replace("}", "}}")


def _any(conditions: Iterable[str]) -> str:
    return " OR ".join(conditions)


def _like(column: str, setting: str) -> str:
    """The column matches a setting's pattern, which is off while it is empty."""
    return f"({{{setting}}} <> '' AND {column} RLIKE {{{setting}}})"


_ALL_IDS = f"concat_ws(' ', {', '.join(ID_COLUMNS)})"

#: The one reason of a record whose columns are all empty: what other rules would say of it is noise.
MALFORMED = RowRule(
    "malformed", "The record could not be parsed; no other rule is asked.", "_corrupt_record IS NOT NULL"
)

#: In the order in which a row's reasons are listed.
ROW_RULES = (
    RowRule("event_id_missing", "The event has no id.", "event_id IS NULL"),
    RowRule("event_ts_unreadable", "There is no time, or it cannot be read.", "event_ts IS NULL"),
    RowRule(
        "day_impossible",
        "The day is before any shop's log or in the far future: a clock that was never set.",
        "dt NOT BETWEEN {clean.first_day} AND {clean.last_day}",
    ),
    RowRule(
        "too_late",
        "The drop came more days after the event than are waited for.",
        "dt < date_sub(landed, {clean.days_late_allowed})",
    ),
    RowRule(
        "from_the_future",
        "The event happened after its drop's day was over.",
        # The first clause is cheap and spares nearly every row the time zone.
        "dt > landed AND event_ts > to_utc_timestamp(CAST(date_add(landed, 1) AS TIMESTAMP), {source.time_zone})"
        " + INTERVAL {clean.clock_skew_minutes} MINUTES",
    ),
    RowRule(
        "clock_ahead",
        "The device says that it happened after the collector had received it.",
        "event_ts > received_at + INTERVAL {clean.clock_skew_minutes} MINUTES",
    ),
    RowRule("kind_missing", "The log does not say what happened.", "_raw_kind IS NULL"),
    RowRule(
        "kind_unknown", "What happened has no line in the source's kinds.", "_raw_kind IS NOT NULL AND kind IS NULL"
    ),
    RowRule(
        "platform_unknown",
        "The platform is missing or none of the contract's.",
        f"platform IS NULL OR platform NOT IN ({_fixed(tuple(Platform))})",
    ),
    RowRule(
        "actor_missing", "Neither a login nor a device: it belongs to nobody.", "user_id IS NULL AND device_id IS NULL"
    ),
    RowRule(
        "actor_placeholder",
        "A login or device that stands for none; as a person it would be all who have none.",
        "lower(user_id) IN ({clean.actor_placeholders}) OR lower(device_id) IN ({clean.actor_placeholders})",
    ),
    RowRule(
        "item_missing",
        "The kind needs an item, and there is none.",
        f"kind IN ({_fixed(ITEM_KINDS)}) AND item_id IS NULL",
    ),
    RowRule("item_placeholder", "An item id that stands for none.", "lower(item_id) IN ({clean.item_placeholders})"),
    RowRule(
        "item_is_no_product",
        "A code of postage, fees or vouchers: it does not look like the shop's items.",
        "{clean.item_pattern} <> '' AND item_id NOT RLIKE {clean.item_pattern}",
    ),
    RowRule(
        "cancels_nothing",
        "A cancellation of neither an order nor an item.",
        f"kind = {_fixed(Kind.CANCEL)} AND order_id IS NULL AND item_id IS NULL",
    ),
    RowRule(
        "id_unreadable",
        "An id with control or replacement characters, or read in the wrong code page.",
        f"{_ALL_IDS} RLIKE {_fixed(NOT_PRINTABLE_ASCII)} AND {_ALL_IDS} RLIKE {_fixed(f'{UNREADABLE}|{MOJIBAKE}')}",
    ),
    RowRule(
        "id_too_long",
        "An id, campaign or surface longer than any real one.",
        _any(f"octet_length({name}) > {{clean.max_id_bytes}}" for name in (*ID_COLUMNS, "campaign", "surface")),
    ),
    RowRule(
        "text_too_long",
        "A search or title longer than people write.",
        "octet_length(query) > {clean.max_text_bytes} OR octet_length(attributes['title']) > {clean.max_text_bytes}",
    ),
    RowRule("price_negative", "A price below zero.", "price < 0"),
    RowRule("price_impossible", "A price above the limit, or no number.", "price > {clean.max_price} OR isnan(price)"),
    RowRule(
        "purchase_price_too_low",
        "Something sold below the least price; free gifts are fine while that is 0.",
        f"kind = {_fixed(Kind.PURCHASE)} AND price >= 0 AND price < {{clean.min_purchase_price}}",
    ),
    RowRule(
        "quantity_negative",
        "Fewer than no pieces; a source that writes returns so maps them to a return of as many pieces.",
        "quantity < 0",
    ),
    RowRule(
        "quantity_impossible", "No piece, or more than the limit.", "quantity = 0 OR quantity > {clean.max_quantity}"
    ),
    RowRule(
        "test_traffic",
        "The shop's own people or machines trying something out.",
        _any(
            (
                _like("user_id", "clean.test_user_pattern"),
                _like("campaign", "clean.test_campaign_pattern"),
                _like("item_id", "clean.test_item_pattern"),
                _like("attributes['user_agent']", "clean.test_agent_pattern"),
            )
        ),
    ),
)


@dataclass(frozen=True)
class BotRule:
    """One reason to call an actor a machine: `bot_rule` holds its name, and the rows are kept."""

    name: str
    doc: str
    settings: tuple[str, ...]


#: The first that fires names the bot; the place in this list, from 1, is its code in `prep.bots`.
BOT_RULES = (
    BotRule("agent", "The event's user agent names a program.", ("clean.bot_agent_pattern",)),
    BotRule("rate", "More events in one hour than a person makes.", ("clean.bot_events_per_hour",)),
    BotRule(
        "metronome",
        "A session of events in equal steps of time.",
        ("clean.metronome_min_events", "clean.metronome_max_variation"),
    ),
    BotRule(
        "crawl",
        "A session of many items faster than anybody reads, without a search, cart, purchase or coupon.",
        ("clean.crawl_min_items", "clean.crawl_max_gap_seconds"),
    ),
)
