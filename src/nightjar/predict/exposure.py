"""Who was shown what in a trial, and what they did after: from the log of a shop that draws whom it offers a coupon.

Both arms are shown something, the offer or a banner without one, and their impressions name the campaign. So people are
compared with people who came too, from the first moment on at which the arms differ.

Legend: N = impressions and purchases, P = people who met a trial.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nightjar.contracts import Kind
from nightjar.predict.accounts import person_of

#: What is read of `session_events`.
EVENT_COLUMNS = ("visitor_id", "user_id", "is_bot", "event_ts", "kind", "campaign")

_ACTS = pa.schema(
    [
        ("visitor_id", pa.string()),
        ("user_id", pa.string()),
        ("seconds", pa.int64()),
        ("trial", pa.string()),  # null for purchases
        ("treated", pa.bool_()),
    ]
)


class Arms(NamedTuple):
    """Regular expressions over campaigns; their first group, if any, tells trials apart."""

    treated: str
    control: str

    def of(self, campaign: str) -> tuple[str, bool] | None:
        """The trial, and whether this is its offer; None for any other campaign.

        >>> Arms("coupon-(.*)", "brand-(.*)").of("brand-07")
        ('07', False)
        """
        for pattern, treated in ((self.treated, True), (self.control, False)):
            if found := re.fullmatch(pattern, campaign):
                return (found.group(1) if found.re.groups else ""), treated
        return None


def acts(events: Iterable[pa.RecordBatch], arms: Arms) -> pa.Table:
    """Impressions of trials, and purchases, of people.

    Args:
        events: batches of `session_events` with EVENT_COLUMNS.
    """
    return pa.concat_tables([_ACTS.empty_table(), *(_acts_of(batch, arms) for batch in events)])


def _acts_of(batch: pa.RecordBatch, arms: Arms) -> pa.Table:
    kind = batch.column("kind")
    campaigns = batch.column("campaign").dictionary_encode()
    known = [arms.of(campaign) for campaign in campaigns.dictionary.to_pylist()]
    trial = pa.array([one and one[0] for one in known], pa.string()).take(campaigns.indices)
    treated = pa.array([one and one[1] for one in known], pa.bool_()).take(campaigns.indices)
    is_purchase = pc.equal(kind, Kind.PURCHASE.value)
    is_shown = pc.and_(pc.equal(kind, Kind.IMPRESSION.value), pc.is_valid(trial))
    seconds = pc.floor(pc.divide(batch.column("event_ts").cast(pa.timestamp("us")).cast(pa.int64()), 1_000_000))
    columns = [
        batch.column("visitor_id"),
        batch.column("user_id"),
        seconds.cast(pa.int64()),
        pc.if_else(is_shown, trial, pa.scalar(None, pa.string())),
        pc.if_else(is_shown, treated, pa.scalar(None, pa.bool_())),
    ]
    chosen = pc.and_(pc.invert(batch.column("is_bot")), pc.or_(is_purchase, is_shown))
    return pa.Table.from_arrays(columns, schema=_ACTS).filter(chosen)


def met(done: pa.Table, members: pa.Table, *, since: int, until: int, horizon: int) -> pa.Table:
    """People who first met a trial within a window: user_id, trial, treated, and whether they bought soon after.

    Who met it before the window is left out, for features as of its beginning would know the treatment; so is who was
    shown both arms. What happens under a login counts for its person and for the visitor whose device it was, as in
    `labels`.

    Args:
        done: `acts`, from as long before the window as features look back, to `horizon` after it.
        members: rows of `identity` up to the window's beginning.
        since, until: seconds since 1970-01-01 UTC; the window's beginning is exclusive, its end inclusive.
        horizon: seconds after meeting the trial in which a purchase counts.
    """
    by_login = person_of(pc.coalesce(done.column("user_id"), done.column("visitor_id")), members)
    by_device = person_of(done.column("visitor_id"), members)
    facts = done.select(["seconds", "trial", "treated"])
    both = pa.concat_tables([facts.append_column("person", by_login), facts.append_column("person", by_device)])
    both = both.group_by(both.column_names).aggregate([])
    shown = both.filter(pc.is_valid(both.column("trial")))
    first = shown.group_by(["person", "trial"]).aggregate([("seconds", "min"), ("treated", "min"), ("treated", "max")])
    one_arm = pc.equal(first.column("treated_min"), first.column("treated_max"))
    at = first.column("seconds_min")
    inside = pc.and_(pc.greater(at, since), pc.less_equal(at, until))
    first = first.filter(pc.and_(one_arm, inside))
    bought = both.filter(pc.is_null(both.column("trial"))).select(["person", "seconds"])
    paired = first.select(["person", "trial", "seconds_min"]).join(bought, "person", join_type="inner")
    after = pc.subtract(paired.column("seconds"), paired.column("seconds_min"))
    soon = paired.filter(pc.and_(pc.greater(after, 0), pc.less_equal(after, horizon)))
    buyers = soon.group_by(["person", "trial"]).aggregate([("seconds", "count")])
    told = first.join(buyers, ["person", "trial"], join_type="left outer")
    return pa.table(
        {
            "user_id": told.column("person"),
            "trial": told.column("trial"),
            "treated": told.column("treated_max"),
            "bought": pc.is_valid(told.column("seconds_count")),
        }
    ).sort_by([("user_id", "ascending"), ("trial", "ascending")])


def once(rows: pa.Table) -> pa.Table:
    """One row of each person, the latest: who comes back is no second person.

    Args:
        rows: of `met` over several windows, earlier windows first, with any other columns.
    """
    numbered = rows.append_column("_place", pa.array(np.arange(rows.num_rows)))
    last = numbered.group_by("user_id").aggregate([("_place", "max")])
    return rows.take(np.sort(last.column("_place_max").to_numpy()))
