"""Bot rules."""

from __future__ import annotations

from typing import Any

import numpy as np
from pyspark.sql import Column
from pyspark.sql import functions as F

from nightjar.prep.arrays import Bools, Int64s
from nightjar.settings import Clean

#: Codes 1, 2, ... of what the functions below return; 0 is a person. The first that fires names the bot.
RULES = ("agent", "rate", "metronome", "crawl")


def is_agent(clean: Clean) -> Column:
    """The client says so itself."""
    agent = F.try_element_at("attributes", F.lit("user_agent"))
    return F.coalesce(agent.rlike(clean.bot_agent_pattern), F.lit(False))


def event_rules(visitor: Int64s, hours: Int64s, agent: Bools, clean: Clean) -> np.ndarray[Any, np.dtype[np.int8]]:
    """Rule code of each row."""
    _, where, counts = np.unique(np.stack([visitor, hours]), axis=1, return_inverse=True, return_counts=True)
    fast = counts[where.ravel()] > clean.bot_events_per_hour
    return np.where(agent, 1, np.where(fast, 2, 0)).astype(np.int8)
