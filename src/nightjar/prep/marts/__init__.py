"""Sessions to analysis tables: counts of a day, without anybody's identifier.

Every function takes frames that hold more days than it writes rows for: those before and after that a
day's rows depend on. What it writes does not depend on how many more, so that a day is the same whether
it is built alone or together with others. The same for people: who is one person is asked as of a day
that the day of the row decides.
"""

from __future__ import annotations

from nightjar.prep.marts.carts import cart_abandonment_from
from nightjar.prep.marts.decisions import (
    decision_paths_from,
    decision_times_from,
    decision_transitions_from,
    steps_from,
)
from nightjar.prep.marts.dimensions import people_events, persons_on, with_item
from nightjar.prep.marts.funnels import funnels_from
from nightjar.prep.marts.kpis import daily_kpis_from

__all__ = [
    "cart_abandonment_from",
    "daily_kpis_from",
    "decision_paths_from",
    "decision_times_from",
    "decision_transitions_from",
    "funnels_from",
    "people_events",
    "persons_on",
    "steps_from",
    "with_item",
]
