"""How many accounts use a person's devices: what a reviewer of fraud looks at first.

`identity` keeps people apart whose devices are shared; that they are shared stands in `identity_links`.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nightjar.predict.task import ACCOUNTS


def with_accounts(features: pa.Table, links: pa.Table, members: pa.Table) -> pa.Table:
    """Add `accounts_on_device`: the most logins ever seen on one device of the person, 0 where nobody logged in.

    A device that nobody is stitched to is a person of its own, with the logins that were seen on it.

    Args:
        links: rows of `identity_links` of all days up to the instant.
        members: rows of `identity` of the same days; without any, logins and devices are people themselves.
    """
    pairs = links.select(["device_id", "user_id"]).group_by(["device_id", "user_id"]).aggregate([])
    counted = pairs.group_by("device_id").aggregate([("user_id", "count")])
    places = pc.index_in(pairs.column("device_id"), counted.column("device_id").combine_chunks())
    on_device = counted.column("user_id_count").take(places)
    of_logins = pa.table({"person": person_of(pairs.column("user_id"), members), "num": on_device})
    of_devices = pa.table({"person": person_of(pairs.column("device_id"), members), "num": on_device})
    most = pa.concat_tables([of_logins, of_devices]).group_by("person").aggregate([("num", "max")])
    found = pc.index_in(features.column("user_id"), most.column("person").combine_chunks())
    accounts: NDArray[np.int32] = pc.fill_null(most.column("num_max").take(found), 0).to_numpy().astype(np.int32)
    return features.append_column(ACCOUNTS, pa.array(accounts))


def person_of(ids: pa.ChunkedArray, members: pa.Table) -> pa.ChunkedArray:
    """The person of each login or device by its latest row; a member without one is its own person."""
    latest = members.select(["member_id", "person_id", "dt"]).sort_by([("member_id", "ascending"), ("dt", "ascending")])
    last = latest.group_by("member_id", use_threads=False).aggregate([("person_id", "last")])
    places = pc.index_in(ids, last.column("member_id").combine_chunks())
    return pc.coalesce(last.column("person_id_last").take(places), ids)
