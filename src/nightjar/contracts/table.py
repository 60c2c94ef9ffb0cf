"""What a table promises, as values: columns, key, total order, partition, version.

Everything else that describes a table (Spark schema, Arrow schema, warehouse DDL, the base of its
quality suite, its page in the data dictionary) is derived from these values and never written twice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date

#: The logical types a column may have. `render` maps each to Spark, Arrow and the warehouses.
TYPES = (
    "string",
    "int",
    "long",
    "float",
    "double",
    "boolean",
    "timestamp",
    "date",
    "binary",
    "array<string>",
    "array<int>",
    "array<long>",
    "array<float>",
    "map<string,string>",
)

_SHOP = re.compile(r"[a-z][a-z0-9_]{0,62}")


@dataclass(frozen=True)
class Column:
    """One column: `doc` is a sentence for people, `unit` what a number counts in.

    What is `sensitive` never enters a model of people unless a shop's settings name it (`predict.sensitive`).
    """

    name: str
    type: str
    doc: str
    unit: str = ""
    nullable: bool = True
    sensitive: bool = False

    def __post_init__(self) -> None:
        if self.type not in TYPES:
            raise ValueError(f"column {self.name}: unknown type {self.type}; one of {', '.join(TYPES)}")


@dataclass(frozen=True)
class Ratio:
    """A quotient of columns, derived where it is read: over days its parts add up, and it does not.

    Args:
        whole: columns whose sum divides `part`; where that is 0 the ratio is null.
    """

    name: str
    part: str
    whole: tuple[str, ...]
    doc: str
    unit: str


@dataclass(frozen=True)
class Table:
    """A table's contract.

    `key` is unique within a partition, `order` is total within it (it ends with columns that are
    unique together), and every partition holds one value of `dt`.
    """

    name: str
    doc: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    order: tuple[str, ...]
    version: int = 1
    #: Why the data may still surprise: what the table does not promise.
    caveats: tuple[str, ...] = field(default=())
    ratios: tuple[Ratio, ...] = field(default=())

    def __post_init__(self) -> None:
        unknown = [name for name in (*self.key, *self.order) if name not in self.names]
        if unknown:
            raise ValueError(f"table {self.name}: key or order names no such column: {', '.join(unknown)}")
        for ratio in self.ratios:
            unknown = [name for name in (ratio.part, *ratio.whole) if name not in self.names]
            if unknown:
                raise ValueError(f"table {self.name}: ratio {ratio.name} has no such column: {', '.join(unknown)}")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column:
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"table {self.name} has no column {name}; it has {', '.join(self.names)}")

    def at(self, shop: str, day: date) -> Partition:
        return Partition(shop, self.name, day)


@dataclass(frozen=True, order=True)
class Partition:
    """One day of one shop's table; printed and parsed as `shop/table/dt=2001-01-15`."""

    shop: str
    table: str
    day: date

    def __post_init__(self) -> None:
        # Shop and table names become folders and argv entries: letters, digits and _ only.
        for name in (self.shop, self.table):
            if not _SHOP.fullmatch(name):
                raise ValueError(
                    f"{name!r} is no name of a shop or table: lower-case letters, digits and _, a letter first"
                )

    @classmethod
    def parse(cls, spec: str) -> Partition:
        """Read `shop/table/dt=YYYY-MM-DD`; usable as argparse `type=`."""
        parts = spec.split("/")
        if len(parts) != 3 or not parts[2].startswith("dt="):
            raise ValueError(f"{spec!r} is no partition; write it as shop/table/dt=YYYY-MM-DD")
        partition = cls(parts[0], parts[1], date.fromisoformat(parts[2].removeprefix("dt=")))
        if str(partition) != spec:  # ISO-8601 has other spellings of a day; one partition has one name
            raise ValueError(f"{spec!r} is no partition; write it as {partition}")
        return partition

    def of(self, table: Table) -> Partition:
        """The same shop and day of another table."""
        return Partition(self.shop, table.name, self.day)

    def on(self, day: date) -> Partition:
        """The same shop and table on another day."""
        return Partition(self.shop, self.table, day)

    def __str__(self) -> str:
        return f"{self.shop}/{self.table}/dt={self.day.isoformat()}"
