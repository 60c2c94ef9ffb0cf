"""Bots by what they say and by how they move; `contracts.rules` describes the rules.

Besides `is_agent`, which Spark evaluates on each row, these are functions on numpy arrays with one
entry per event, the events of a visitor together. A code is 0 for a person and n for the n-th of
`RULES`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import Column
from pyspark.sql import functions as F

from nightjar.contracts import BOT_RULES, Kind
from nightjar.settings import Clean

Bools = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int8]
Ints = npt.NDArray[np.integer]

RULES = tuple(rule.name for rule in BOT_RULES)
AGENT, RATE, METRONOME, CRAWL = range(1, len(RULES) + 1)

#: Records closer together than this are one action's: the lines of an order, a banner and its click.
_ONE_ACTION_US = 100_000

#: Kinds of somebody who wants something; crawlers only look.
_INTENT = [kind.code for kind in (Kind.SEARCH, Kind.CART, Kind.PURCHASE, Kind.COUPON)]


def is_agent(clean: Clean) -> Column:
    """Whether the event's user agent calls itself a program; false without one, never null."""
    says_so = F.try_element_at("attributes", F.lit("user_agent")).rlike(clean.bot_agent_pattern)
    return F.coalesce(says_so, F.lit(False)) if clean.bot_agent_pattern else F.lit(False)


def event_rules(visitors: Ints, hours: Ints, agents: Bools, clean: Clean) -> Codes:
    """Code per event: AGENT where the event says so, else RATE in hours with more events than a person makes.

    Linear, but for a sort when the hours of a visitor are out of order.

    Args:
        visitors: a number per visitor; equal ones stand together.
        hours: a number per shop's day and clock hour. The day belongs to it for zones whose midnight
            cuts an hour: its other half is another night's business.
        agents: what `is_agent` said.
    """
    same_visitor = visitors[1:] == visitors[:-1]
    if np.any(same_visitor & (hours[1:] < hours[:-1])):
        order = np.lexsort((hours, visitors))
        codes = np.empty(len(visitors), dtype=np.int8)
        codes[order] = event_rules(visitors[order], hours[order], agents[order], clean)
        return codes
    ends = np.flatnonzero(np.append(~same_visitor | (hours[1:] != hours[:-1]), True)[: len(visitors)])
    num_events = np.diff(ends, prepend=-1)
    too_fast = np.repeat(num_events > clean.bot_events_per_hour, num_events)
    return np.where(agents, AGENT, np.where(too_fast, RATE, 0)).astype(np.int8)


def session_shapes(starts: Ints, event_ts: Ints, kinds: Ints, items: Ints, clean: Clean) -> Codes:
    """Code per session: METRONOME, CRAWL or 0. What was only shown (impressions) is nobody's doing and left out.

    Linear, but for a sort of the events in sessions long enough to be a crawl.

    Args:
        starts: the first event of each session, ascending from 0; a session ends where the next starts.
        event_ts: microseconds, ascending within a session.
        kinds: `Kind.code`.
        items: a number from 0 per item, -1 without one.
    """
    num_sessions = len(starts)
    session = np.repeat(np.arange(num_sessions), np.diff(starts, append=len(event_ts)))
    done = kinds != Kind.IMPRESSION.code
    session, event_ts, kinds, items = session[done], event_ts[done], kinds[done], items[done]
    within = session[1:] == session[:-1]
    gap_us, owner = np.diff(event_ts)[within], session[1:][within]
    is_metronome = _metronomes(gap_us, owner, num_sessions, clean)
    is_crawl = _crawls(gap_us, owner, session, kinds, items, num_sessions, clean)
    return np.where(is_metronome, METRONOME, np.where(is_crawl, CRAWL, 0)).astype(np.int8)


def names(codes: Codes) -> pa.StringArray:
    """Codes as the names that tables hold; null for people."""
    return pa.array((None, *RULES), pa.string()).take(pa.array(codes))


def _metronomes(gap_us: Ints, owner: Ints, num_sessions: int, clean: Clean) -> Bools:
    """Sessions whose steps vary too little: their standard deviation is a small part of their mean."""
    step = gap_us >= _ONE_ACTION_US
    gap_us, owner = gap_us[step], owner[step]
    num_steps = np.bincount(owner, minlength=num_sessions)
    mean = np.bincount(owner, weights=gap_us, minlength=num_sessions) / np.maximum(num_steps, 1)
    squares = np.bincount(owner, weights=np.square(gap_us - mean[owner]), minlength=num_sessions)
    deviation = np.sqrt(squares / np.maximum(num_steps, 1))
    even = deviation <= clean.metronome_max_variation * mean
    return np.asarray((num_steps + 1 >= clean.metronome_min_events) & even)


def _crawls(
    gap_us: Ints, owner: Ints, session: Ints, kinds: Ints, items: Ints, num_sessions: int, clean: Clean
) -> Bools:
    """Sessions over many items in quick steps by somebody who wants none of them."""
    # That the median is at most s says that half of the steps are: nothing needs to be sorted for it.
    quick = gap_us <= clean.crawl_max_gap_seconds * 1e6
    num_steps = np.bincount(owner, minlength=num_sessions)
    is_quick = 2 * np.bincount(owner[quick], minlength=num_sessions) >= np.maximum(num_steps, 1)
    wants = np.bincount(session[np.isin(kinds, _INTENT)], minlength=num_sessions) > 0
    with_item = items >= 0
    num_touched = np.bincount(session[with_item], minlength=num_sessions)
    may_be = is_quick & ~wants & (num_touched >= clean.crawl_min_items)
    looked_at = with_item & may_be[session]
    span = int(items.max(initial=0)) + 1  # pairs as one number: a sort of int64 is ten times as fast as one of pairs
    pairs = np.unique(session[looked_at] * span + items[looked_at])
    num_items = np.bincount(pairs // span, minlength=num_sessions)
    return np.asarray(may_be & (num_items >= clean.crawl_min_items))
