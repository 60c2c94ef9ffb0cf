"""The night's lists as a whole, from record batches of `recommendations`: people are counted, never kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from nightjar.contracts.published import FALLBACKS
from nightjar.monitor.night import Item, Mover, Recommended

#: The columns that `count` reads: none of them names a person.
COLUMNS = ("item_id", "rank", "strategy", "reason_code")

TOP = 10


@dataclass
class Shown:
    """Counts over rows; as large as the catalogue, whatever the number of people."""

    num_rows: int = 0
    num_lists: int = 0
    num_fallback: int = 0
    items: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    def ranked(self) -> list[str]:
        """Items by the number of lists that show them, then by id."""
        return sorted(self.items, key=lambda item: (-self.items[item], item))


def count(batches: Iterable[pa.RecordBatch]) -> Shown:
    """Count batches that hold `COLUMNS`; a list is counted by its row of rank 1."""
    shown = Shown()
    for batch in batches:
        first = pc.equal(batch.column("rank"), 1)
        shown.num_rows += batch.num_rows
        shown.num_lists += pc.sum(first).as_py() or 0
        fallback = pc.is_in(batch.column("strategy"), pa.array(FALLBACKS))
        shown.num_fallback += pc.sum(pc.and_(first, fallback)).as_py() or 0
        shown.items.update(_counted(batch.column("item_id")))
        shown.reasons.update(_counted(batch.column("reason_code")))
    return shown


def recommended(
    tonight: Shown, yesterday: Shown | None, titles: Mapping[str, str | None], num_candidates: int | None
) -> Recommended:
    """What the page says of the lists.

    Args:
        titles: item id -> title, at least of the first `TOP` items of `tonight.ranked()`.
        num_candidates: items that could be recommended; None where nobody counted them.
    """
    places = {item: place for place, item in enumerate(yesterday.ranked() if yesterday else (), start=1)}
    top = tonight.ranked()[:TOP]
    return Recommended(
        num_rows=tonight.num_rows,
        num_lists=tonight.num_lists,
        num_fallback=tonight.num_fallback,
        num_items=len(tonight.items),
        num_candidates=num_candidates,
        reasons=dict(tonight.reasons),
        top=tuple(Item(item, titles.get(item), tonight.items[item], places.get(item)) for item in top),
        top_rows=sum(tonight.items[item] for item in top),
        knows_yesterday=yesterday is not None,
    )


def movers(
    tonight: Shown, yesterday: Shown | None, titles: Mapping[str, str | None], *, number: int = 6
) -> tuple[Mover, ...]:
    """Items whose number of lists changed most, those that gained and those that lost; none without a yesterday."""
    if yesterday is None:
        return ()
    return tuple(
        Mover(item, titles.get(item), tonight.items[item], yesterday.items[item])
        for item in moved(tonight, yesterday, number=number)
    )


def moved(tonight: Shown, yesterday: Shown, *, number: int = 6) -> list[str]:
    """Item ids, the largest change first, then by id."""
    changes = {item: tonight.items[item] - yesterday.items[item] for item in {*tonight.items, *yesterday.items}}
    ordered = sorted((item for item in changes if changes[item]), key=lambda item: (-abs(changes[item]), item))
    return ordered[:number]


def _counted(column: pa.Array) -> dict[str, int]:
    return {pair["values"]: pair["counts"] for pair in pc.value_counts(column).to_pylist()}
