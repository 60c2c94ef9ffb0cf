"""What a shop's marketers rule, `conf/rules/<shop>.toml`: which items a surface may show, where, and how mixed.

`[every_surface]` holds for all, `[surfaces.<name>]` states what differs there. Deny, allow, stock, bounds of price
and margin, and repeats hold always: a list is rather short than broken. Caps give way when nothing else is
left to show, and pins when their item may not be shown; both are reported.

Legend: N items of the catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from nightjar.contracts import BadInput
from nightjar.score.catalogue import Catalogue
from nightjar.score.rank import NONE
from nightjar.settings import Count, Score, Section, Share, Words, read_toml

Flags = NDArray[np.bool_]

#: Columns of the shop's own file of items beside `item_id`, and what they hold.
STOCK, MARGIN = "stock", "margin"


class Pin(Section):
    """An item that stands at a rank whatever the model thinks of it."""

    item: str
    rank: Count
    first_day: date | None = None
    last_day: date | None = None

    def holds_on(self, day: date) -> bool:
        return (self.first_day is None or self.first_day <= day) and (self.last_day is None or day <= self.last_day)


class Diversity(Section):
    """How lists are mixed: by maximal marginal relevance, or to the person's own shares of categories."""

    method: Literal["mmr", "calibration"]
    weight: Share  # of the mixture; 0 is the model's own order
    pool: Count = 100  # the model's best items that are chosen from


class Surface(Section):
    """The rules of one place where recommendations are shown; what is not stated rules nothing."""

    k: Count | None = None  # rows of a list, at most `score.k`; that many if not stated
    deny_items: Words = ()
    deny_categories: Words = ()
    deny_brands: Words = ()
    allow_items: Words = ()  # with any of these three, nothing else is shown
    allow_categories: Words = ()
    allow_brands: Words = ()
    min_price: Annotated[float, Field(ge=0)] | None = None
    max_price: Annotated[float, Field(ge=0)] | None = None
    show_unpriced: bool = True  # items without a price, where there are bounds
    min_stock: Annotated[int, Field(ge=0)] = 0  # pieces; an item that the facts do not name has none
    min_margin: float | None = None  # as the facts count it; an item that they do not name has none
    no_repeat_days: Annotated[int, Field(ge=0)] = 0  # in place of `score.exclude = "purchased"`, which is for ever
    max_per_category: Annotated[int, Field(ge=0)] = 0  # 0: any number
    max_per_brand: Annotated[int, Field(ge=0)] = 0
    pins: Annotated[tuple[Pin, ...], Field(strict=False)] = ()
    diversity: Diversity | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Surface:
        if self.min_price is not None and self.max_price is not None and self.min_price > self.max_price:
            raise ValueError(f"min_price {self.min_price} is above max_price {self.max_price}")
        for what, values in (("rank", [p.rank for p in self.pins]), ("item", [p.item for p in self.pins])):
            always = [value for pin, value in zip(self.pins, values, strict=True) if pin.first_day is pin.last_day]
            if len(set(always)) < len(always):
                raise ValueError(f"two pins have the same {what} on every day")
        return self


class Rulebook(Section):
    """A rules file: the shop's item facts, and surfaces by name."""

    #: CSV beside the rules file, with item_id and, as far as rules need them, stock and margin; {day} is the night's.
    facts: str = ""
    surfaces: dict[str, Surface]

    @model_validator(mode="before")
    @classmethod
    def _inherit(cls, data: Any) -> Any:
        """A surface states what differs from `[every_surface]`."""
        if not isinstance(data, dict):
            return data
        every, surfaces = data.get("every_surface", {}), data.get("surfaces", {})
        if not isinstance(every, dict) or not isinstance(surfaces, dict):
            return data
        merged = {name: {**every, **own} if isinstance(own, dict) else own for name, own in surfaces.items()}
        return {key: value for key, value in data.items() if key != "every_surface"} | {"surfaces": merged}

    @model_validator(mode="after")
    def _consistent(self) -> Rulebook:
        if not self.surfaces:
            raise ValueError("names no [surfaces.<name>]")
        if not self.facts:
            for name, surface in self.surfaces.items():
                if surface.min_stock or surface.min_margin is not None:
                    raise ValueError(f"surfaces.{name} needs stock or margins, and `facts` names no file")
        return self


class Cap(NamedTuple):
    """At most so many items of a group in one list."""

    rule: str
    groups_N: NDArray[np.int64]  #: -1 is no group, and has no cap
    at_most: int


class Placed(NamedTuple):
    """A pin of tonight: its item, the item's position, and the rank from 1."""

    item: str
    position: int
    rank: int

    @property
    def name(self) -> str:
        return _pin_name(self.item, self.rank)


class Finding(NamedTuple):
    """What became of a rule; `met` is False where it could not be obeyed, or rules nothing."""

    rule: str
    met: bool
    said: str


@dataclass(frozen=True)
class Rules:
    """A surface's rules as they hold tonight, against one catalogue."""

    surface: str
    k: int
    allowed_N: Flags
    no_repeat_days: int
    caps: tuple[Cap, ...]
    pins: tuple[Placed, ...]
    diversity: Diversity | None
    findings: tuple[Finding, ...]


def rules_file(folder: Path, shop: str, stated: str) -> Path | None:
    """The file of the shop's rules: the stated one, else `<folder>/<shop>.toml`, else none.

    Raises:
        BadInput: the stated file is not there.
    """
    path = Path(stated) if stated else folder / f"{shop}.toml"
    if stated and not path.is_file():
        raise BadInput(f"score.rules names {path}, which is no file", f"ls {path.parent}")
    return path if path.is_file() else None


def load_rulebook(path: Path) -> Rulebook:
    """Read and check a rules file.

    Raises:
        BadInput: no TOML, an unknown key, or a value that cannot be meant; names file, key and what to type.
    """
    try:
        return Rulebook.model_validate(read_toml(path))
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc'])) or 'the file'}: {e['msg']}" for e in error.errors()]
        raise BadInput(f"{path}: {'; '.join(problems)}", f"edit {path}; make rules-check") from error


def load_facts(rulebook: Rulebook, path: Path, day: date) -> pa.Table | None:
    """The shop's own numbers of items, from the CSV beside the rules file `path`; None where the rules need none.

    Raises:
        BadInput: the file is missing, is no CSV, or lacks a column that a rule needs.
    """
    if not rulebook.facts:
        return None
    file = path.parent / rulebook.facts.replace("{day}", day.isoformat())
    types = {"item_id": pa.string(), STOCK: pa.int64(), MARGIN: pa.float64()}
    try:
        facts = pyarrow.csv.read_csv(file, convert_options=pyarrow.csv.ConvertOptions(column_types=types))
    except (OSError, pa.ArrowInvalid) as error:
        raise BadInput(f"{path}: cannot read the item facts {file}: {error}", f"head -3 {file}") from error
    needed = {"item_id"}
    for surface in rulebook.surfaces.values():
        needed |= {STOCK} if surface.min_stock else set()
        needed |= {MARGIN} if surface.min_margin is not None else set()
    if missing := needed - set(facts.column_names):
        raise BadInput(f"{file} lacks the columns {', '.join(sorted(missing))}", f"head -3 {file}")
    return facts.select([name for name in types if name in facts.column_names])


def plain_rules(score: Score, catalogue: Catalogue) -> Rules:
    """A shop without a rules file: one surface, everything allowed."""
    everything = np.ones(catalogue.size, np.bool_)
    return Rules(score.surface, score.k, everything, 0, (), (), None, ())


def resolve(
    rulebook: Rulebook, facts: pa.Table | None, catalogue: Catalogue, score: Score, *, available_N: Flags, day: date
) -> list[Rules]:
    """Every surface's rules as they hold on a day, with what can be said of them before anybody is scored.

    Args:
        available_N: what may be shown at all; a pin of anything else cannot be met.

    Raises:
        BadInput: a surface wants longer lists than `score.k`.
    """
    found = []
    for name, surface in sorted(rulebook.surfaces.items()):
        if surface.k is not None and surface.k > score.k:
            raise BadInput(
                f"surfaces.{name}.k = {surface.k} is above score.k = {score.k}", f"--set score.k={surface.k}"
            )
        found.append(_Resolver(surface, facts, catalogue, available_N).rules(name, surface.k or score.k, day))
    return found


class _Resolver:
    def __init__(self, surface: Surface, facts: pa.Table | None, catalogue: Catalogue, available_N: Flags) -> None:
        self.surface, self.facts, self.catalogue, self.available_N = surface, facts, catalogue, available_N
        self.findings: list[Finding] = []

    def rules(self, name: str, k: int, day: date) -> Rules:
        surface, catalogue = self.surface, self.catalogue
        allowed_N = ~self._named("deny") & self._priced() & self._stocked()
        if surface.allow_items or surface.allow_categories or surface.allow_brands:
            allowed_N &= self._named("allow")
        caps = [
            Cap("max_per_category", catalogue.categories, surface.max_per_category),
            Cap("max_per_brand", catalogue.brands, surface.max_per_brand),
        ]
        left = int((allowed_N & self.available_N).sum())
        if left < k:
            self.findings.append(Finding("k", False, f"{left} items are left for lists of {k}"))
        pins = self._pins(allowed_N, day, k)
        return Rules(
            name,
            k,
            allowed_N,
            surface.no_repeat_days,
            tuple(cap for cap in caps if cap.at_most),
            pins,
            surface.diversity if surface.diversity and surface.diversity.weight else None,
            tuple(self.findings),
        )

    def _named(self, verb: str) -> Flags:
        """Items that a list of ids, categories or brands names; words that name nothing are reported."""
        catalogue, named_N = self.catalogue, np.zeros(self.catalogue.size, np.bool_)
        items: tuple[str, ...] = getattr(self.surface, f"{verb}_items")
        positions = catalogue.vocabulary.encode(pa.array(items, pa.string())) - 1
        named_N[positions[positions != NONE]] = True
        self._nothing(f"{verb}_items", [item for item, at in zip(items, positions, strict=True) if at == NONE])
        for noun, names, groups_N in (
            ("categories", catalogue.category_names, catalogue.categories),
            ("brands", catalogue.brand_names, catalogue.brands),
        ):
            words: tuple[str, ...] = getattr(self.surface, f"{verb}_{noun}")
            codes = [names.index(word) for word in words if word in names]
            named_N |= np.isin(groups_N, codes)
            self._nothing(f"{verb}_{noun}", [word for word in words if word not in names])
        return named_N

    def _nothing(self, rule: str, words: list[str]) -> None:
        if words:
            shown = ", ".join(words[:5]) + (f" and {len(words) - 5} more" if len(words) > 5 else "")
            self.findings.append(Finding(rule, False, f"no item of tonight's catalogue is {shown}"))

    def _priced(self) -> Flags:
        low, high = self.surface.min_price, self.surface.max_price
        prices_N = self.catalogue.prices
        if low is None and high is None:
            return np.ones(len(prices_N), np.bool_)
        inside_N = (prices_N >= (0 if low is None else low)) & (prices_N <= (np.inf if high is None else high))
        return inside_N | (np.isnan(prices_N) & self.surface.show_unpriced)

    def _stocked(self) -> Flags:
        least = {STOCK: self.surface.min_stock or None, MARGIN: self.surface.min_margin}
        enough_N = np.ones(self.catalogue.size, np.bool_)
        for name, bound in least.items():
            if bound is None or self.facts is None:
                continue
            known = pc.index_in(self.catalogue.item_ids, self.facts["item_id"].combine_chunks())
            values_N = np.asarray(pc.fill_null(self.facts[name].take(known).cast(pa.float64()), -np.inf))
            enough_N &= values_N >= bound
            if unnamed := int(known.null_count):
                self.findings.append(Finding(f"min_{name}", True, f"the facts do not name {unnamed} items: not shown"))
        return enough_N

    def _pins(self, allowed_N: Flags, day: date, k: int) -> tuple[Placed, ...]:
        placed: dict[int, Placed] = {}
        for pin in sorted(self.surface.pins, key=lambda pin: pin.rank):
            rule = _pin_name(pin.item, pin.rank)
            position = int(self.catalogue.vocabulary.encode(pa.array([pin.item], pa.string()))[0]) - 1
            if not pin.holds_on(day):
                continue
            if position == NONE:
                problem = "the catalogue has no such item tonight"
            elif not allowed_N[position]:
                problem = "other rules of the surface do not allow the item"
            elif not self.available_N[position]:
                problem = "the item is not available"
            elif pin.rank > k:
                problem = f"lists have {k} rows"
            elif pin.rank in placed or position in {other.position for other in placed.values()}:
                problem = "another pin has this rank or item tonight"
            else:
                placed[pin.rank] = Placed(pin.item, position, pin.rank)
                continue
            self.findings.append(Finding(rule, False, problem))
        return tuple(placed.values())


def _pin_name(item: str, rank: int) -> str:
    """What reports call a pin."""
    return f"pin {item} at {rank}"
