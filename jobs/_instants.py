"""Past days from whose ends models of people look ahead, and which a shop's first night has to write itself."""

from __future__ import annotations

from collections.abc import Container
from datetime import date

from nightjar.contracts import SESSION_EVENTS, Partition
from nightjar.stores.job import Job
from nightjar.stores.lake import Lake


def made_up(job: Job, lake: Lake, at: Partition, besides: Container[date] = ()) -> list[date]:
    """Instants that this night writes although they are not its own: all on a shop's first night, none on later ones.

    Nights leave what later nights learn from. A shop's first one finds nothing, and a log that goes back for months:
    without this, scores of people would have to wait for weeks.

    Args:
        at: the night, of the table whose partitions tell whether there was one before.
        besides: days that the night writes as well, and that therefore tell of no earlier one.
    """
    labels, log = job.conf.labels, lake.days(job.shop, SESSION_EVENTS.name)
    instants = [labels.judged_on(at.day), *(labels.learned_from(at.day, min(log)) if log else [])]
    before = [day for day in lake.days(job.shop, at.table) if day < at.day]
    is_first = all(day in instants or day in besides for day in before)
    return instants if is_first else []
