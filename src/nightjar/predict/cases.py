"""What a shop found out about its people itself, as labels: who was confirmed to deceive it, and when.

No log says it. Somebody looked at an account, at a chargeback, at a parcel, and kept a list.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from nightjar.contracts import BadInput
from nightjar.predict.accounts import person_of
from nightjar.predict.task import CONFIRMED

#: Of the list, by the shop's own ids or by pseudonyms.
CASES = pa.schema([("user_id", pa.string()), ("found_on", pa.date32())])


def read_cases(file: Path) -> pa.Table:
    """A CSV file with the columns of `CASES`, others are left alone; a person may stand there more than once.

    Raises:
        BadInput: there is no such file, or it is no such list.
    """
    again = f"head -3 {file}, which should begin with user_id,found_on and hold days as 2026-02-14"
    options = pacsv.ConvertOptions(
        column_types=dict(zip(CASES.names, CASES.types, strict=True)),
        include_columns=CASES.names,
        null_values=[""],
        strings_can_be_null=True,
    )
    try:
        found = pacsv.read_csv(file, convert_options=options)
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        # Not pyarrow's own words: they quote the row, and with it a person.
        raise BadInput(f"{file} is no list of cases: {type(error).__name__}", again) from None
    if any(column.null_count for column in found.columns):
        raise BadInput(f"{file} is no list of cases: a row lacks its user_id or its day", again)
    return found.cast(CASES)


def with_cases(labels: pa.Table, cases: pa.Table, members: pa.Table, *, window_days: int) -> pa.Table:
    """Add `fraud_confirmed`: found out in so many days after the instant; null of whom the shop knew before.

    Who is not on the list was not found out: without any list nobody can say, and all is null. A case counts for the
    person whose login it names.

    Args:
        labels: rows of `labels`, all of one instant.
        cases: as `CASES`, by pseudonym of the login.
        members: rows of `identity` up to the instant.
    """
    if not cases.num_rows or not labels.num_rows:
        return labels.append_column(CONFIRMED, pa.nulls(labels.num_rows, pa.bool_()))
    instant: date = labels.column("dt")[0].as_py()
    people = pa.table({"person": person_of(cases.column("user_id"), members), "found_on": cases.column("found_on")})
    first = people.group_by("person").aggregate([("found_on", "min")])
    places = pc.index_in(labels.column("user_id"), first.column("person").combine_chunks())
    found_on = first.column("found_on_min").take(places)
    is_later = pc.greater(found_on, pa.scalar(instant))
    is_near = pc.less_equal(found_on, pa.scalar(instant + timedelta(days=window_days)))
    known_before = pc.fill_null(pc.invert(is_later), False)
    confirmed = pc.fill_null(pc.and_(is_later, is_near), False)
    said = pc.if_else(known_before, pa.scalar(None, pa.bool_()), confirmed)
    return labels.append_column(CONFIRMED, said)
