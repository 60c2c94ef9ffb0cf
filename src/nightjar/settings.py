"""The numbers: one frozen, strict model per room, read from `conf/`.

`conf/base.toml` is complete and runnable; other files and `--set section.key=value` state
differences only. Unknown keys are errors. Units live in the names.
"""

from __future__ import annotations

import tomllib
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from nightjar.contracts import EVENTS, BadInput, Kind
from nightjar.contracts.table import _SHOP

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]

#: Columns of `events` that no mapping names.
FILLED_BY_CLEAN = {"dt", "landed", "bot_rule"}


class Section(BaseModel):
    """Frozen, and strict about keys and types: a misspelt setting must not be ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Simulate(Section):
    """The synthetic shop: size and dirt. Shares are of the clean events."""

    seed: int
    num_people: Count
    num_items: Count
    start: str  # the shop's first day, YYYY-MM-DD; earlier days do not exist
    sessions_per_person_day: Annotated[float, Field(gt=0)]
    duplicate_share: Share
    late_share: Share
    malformed_share: Share
    bot_share: Share  # of all actors
    churn_share: Share  # of people, leaving for good at some day
    coupon_share: Share  # of people, drawn at random
    fraud_ring_people: Annotated[int, Field(ge=0)]


class Clean(Section):
    days_late_allowed: Annotated[int, Field(ge=0)]
    clock_skew_minutes: Annotated[int, Field(ge=0)]  # an event may be this far after its drop's midnight
    max_price: Annotated[float, Field(gt=0)]
    max_quantity: Count
    bot_events_per_hour: Count  # more than this from one actor is a bot
    bot_agent_pattern: str  # Java regular expression over attributes['user_agent']


class Gate(Section):
    """Bounds of the suites. `stop` rules end the night, `warn` rules become metrics."""

    trailing_days: Count
    min_trailing_days: Count  # fewer past days than this: comparisons with the past are skipped
    max_quarantined_share: Share
    max_unknown_kind_rows: Annotated[int, Field(ge=0)]
    max_null_share_rise: Share  # above the trailing median, per column
    min_filled_ratio: Share  # of ids: share of non-null values over the usual share
    volume_ratio_min: Annotated[float, Field(ge=0)]  # rows over the trailing median of the same weekday kind
    volume_ratio_max: Annotated[float, Field(gt=0)]
    max_kind_share_distance: Share  # largest gap of any kind's share to its trailing mean
    max_silent_hours: Annotated[float, Field(ge=0)]  # the day's last event may come this much earlier than usual
    max_duplicate_share: Share
    max_conflict_share: Share
    max_bot_share: Share
    max_events_per_session: Count
    max_capped_share: Share  # of sessions that a cap cut
    max_shared_device_share: Share  # of the devices that logins were seen on
    max_broken_components: Annotated[int, Field(ge=0)]  # components too large to be one person
    max_members_per_person: Count  # more devices and logins than this: some login is a default, not a person
    max_fallback_share: Share
    min_overlap_yesterday: Share  # of recommended (user, item) pairs, on average per user
    max_overlap_yesterday: Share


class Sessions(Section):
    gap_minutes: Count
    max_hours: Count  # a longer visit is cut, the rest is a new session
    max_events: Count
    frozen_after_days: Annotated[int, Field(ge=0)]  # a day's sessions change no more that many days later; 0: never


class Identity(Section):
    """Which devices and logins are one person."""

    max_logins_per_device: Count  # a device seen with more is shared and links nobody; with 1 logins never merge
    max_component_members: Count  # several logins with more devices and logins between them stay apart


class Lake(Section):
    """Layout of the large tables."""

    buckets: Count  # files per day, by visitor; a shop keeps what its first night took


class Sequences(Section):
    history_days: Count
    max_events: Count
    kinds: Annotated[tuple[Annotated[Kind, Field(strict=False)], ...], Field(strict=False)]
    min_item_events: Count  # rarer items get no index
    holdout_days: Count  # the later window on which models are judged

    @field_validator("kinds")
    @classmethod
    def _not_empty(cls, kinds: tuple[Kind, ...]) -> tuple[Kind, ...]:
        if not kinds:
            raise ValueError("name at least one kind")
        return kinds


class Model(Section):
    """Architecture; `conf/models/<name>.toml` holds one complete description each."""

    name: Literal["sasrec", "gru"]
    width: Count
    num_blocks: Count
    num_heads: Count
    max_length: Count
    dropout: Annotated[float, Field(ge=0, lt=1)]


class Train(Section):
    seed: int
    epochs: Count
    batch_users: Count
    learning_rate: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)]
    validation_share: Share  # of users, by hash; their last item chooses the epoch
    patience_epochs: Count
    processes: Count
    max_age_days: Annotated[int, Field(ge=0)]  # an older champion is due for training
    checkpoint_every_steps: Count
    force: bool


class Promotion(Section):
    """A candidate becomes champion when every clause holds on the same rows."""

    metric: Literal["ndcg@10", "hr@10", "mrr"]
    min_gain_over_champion: float  # relative; negative tolerates a loss
    must_beat: Annotated[tuple[Literal["popularity", "markov"], ...], Field(strict=False)]
    min_users: Count


class Score(Section):
    k: Count
    surface: str
    exclude: Literal["none", "seen", "purchased"]
    available_within_days: Annotated[int, Field(ge=0)]  # items silent for longer are unavailable; 0: all are
    batch_users: Count
    popular_days: Count


class Publish(Section):
    target: Literal["duckdb", "postgres"]
    keep_nights: Count


class Spark(Section):
    master: str
    driver_memory_gib: Count
    java_options: str  # of the driver's JVM; it must know them before it starts
    shuffle_partitions: Count


class Conf(Section):
    """Everything a night needs to know, resolved."""

    simulate: Simulate
    clean: Clean
    gate: Gate
    sessions: Sessions
    identity: Identity
    lake: Lake
    sequences: Sequences
    model: Model
    train: Train
    promotion: Promotion
    score: Score
    publish: Publish
    spark: Spark

    def dump(self) -> dict[str, Any]:
        """Plain values, for result manifests and trackers."""
        return self.model_dump(mode="json")


class Source(Section):
    """How one kind of raw log becomes events; a file under `conf/sources/`."""

    name: str
    doc: str
    format: Literal["jsonl", "csv", "parquet"]
    time_zone: str  # the shop's; it cuts days
    layout: Literal["daily", "single"]
    pattern: str = "*"  # daily: names a day's files, with {day}; single: glob below a folder
    delimiter: str = ","
    history_days: Count = 35  # days before the night that are landed when missing
    #: jsonl only: raw field -> Spark type. CSV takes its columns from the header, Parquet from its schema.
    fields: dict[str, str] = Field(default_factory=dict)
    #: events column -> Spark SQL over the raw columns. `kind` is looked up in `kinds` afterwards.
    events: dict[str, str]
    kinds: dict[str, Annotated[Kind, Field(strict=False)]]
    #: extra row rules: reason -> Spark SQL over raw and event columns that is true for a bad row.
    rejects: dict[str, str] = Field(default_factory=dict)
    #: overrides of [gate], for shops that live otherwise
    gate: dict[str, float | int] = Field(default_factory=dict)
    #: overrides of other sections, as "section.key" = value
    settings: dict[str, Any] = Field(default_factory=dict)

    @field_validator("name")
    @classmethod
    def _name(cls, name: str) -> str:
        if not _SHOP.fullmatch(name):
            raise ValueError("lower-case letters, digits and _, a letter first: it becomes a folder")
        return name

    @field_validator("time_zone")
    @classmethod
    def _zone(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"no such time zone: {zone}") from error
        return zone

    @model_validator(mode="after")
    def _consistent(self) -> Source:
        missing = {"event_id", "event_ts", "kind", "platform"} - set(self.events)
        if missing:
            raise ValueError(f"[events] lacks {', '.join(sorted(missing))}")
        unknown = set(self.events) - (set(EVENTS.names) - FILLED_BY_CLEAN)
        if unknown:
            raise ValueError(f"[events] names no column that a mapping fills: {', '.join(sorted(unknown))}")
        if not {"user_id", "device_id"} & set(self.events):
            raise ValueError("[events] names neither user_id nor device_id")
        if self.layout == "daily" and "{day}" not in self.pattern:
            raise ValueError("layout daily needs {day} in pattern")
        if self.format == "jsonl" and not self.fields:
            raise ValueError("format jsonl needs [fields]")
        return self

    def end_of(self, day: date) -> datetime:
        """The instant in UTC at which the shop's day is over."""
        midnight = datetime.combine(day + timedelta(days=1), time(), ZoneInfo(self.time_zone))
        return midnight.astimezone(UTC)


def repository() -> Path:
    """The checkout, which holds conf/."""
    return Path(__file__).resolve().parents[2]


def load_conf(*, files: list[Path] | None = None, source: Source | None = None, sets: list[str] | None = None) -> Conf:
    """Resolve settings: base, model, then files, then the source's own, then `--set key=value`.

    Raises:
        BadInput: an unknown key, a value out of range, or a file that is no TOML.
    """
    conf_folder = repository() / "conf"
    merged = read_toml(conf_folder / "base.toml")
    for file in files or []:
        _merge(merged, read_toml(file), str(file))
    if source is not None:
        for key, value in {**{f"gate.{k}": v for k, v in source.gate.items()}, **source.settings}.items():
            _put(merged, key, value, f"conf/sources/{source.name}.toml")
    for assignment in sets or []:
        key, sign, text = assignment.partition("=")
        if not sign:
            raise BadInput(
                f"--set {assignment}: no value", "write --set section.key=value, for example --set train.epochs=3"
            )
        _put(merged, key.strip(), _toml_value(text), "--set")
    try:
        return Conf.model_validate(merged)
    except ValidationError as error:
        raise BadInput(
            _explain(error, "settings"), "correct the key named above; conf/base.toml lists every key"
        ) from error


def load_source(name_or_path: str) -> Source:
    """Read `conf/sources/<name>.toml`, or a path to such a file.

    Raises:
        BadInput: no such file, no TOML, unknown keys, or a mapping without the needed columns.
    """
    folder = repository() / "conf" / "sources"
    path = Path(name_or_path) if name_or_path.endswith(".toml") else folder / f"{name_or_path}.toml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.toml")))
        raise BadInput(f"no source mapping {path}", f"choose one of {known}, or write {path}")
    try:
        return Source.model_validate({"name": path.stem, **read_toml(path)})
    except ValidationError as error:
        raise BadInput(_explain(error, str(path)), f"edit {path}") from error


def read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}", f"ls -l {path}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is no TOML: {error}", f"edit {path}") from error


def _merge(into: dict[str, Any], update: dict[str, Any], origin: str) -> None:
    for section, values in update.items():
        if not isinstance(values, dict):
            raise BadInput(f"{origin}: {section} stands outside a section", f"put it under a [section] in {origin}")
        into.setdefault(section, {}).update(values)


def _put(into: dict[str, Any], key: str, value: Any, origin: str) -> None:
    section, dot, name = key.partition(".")
    if not dot or section not in into or name not in into[section]:
        raise BadInput(f"{origin}: unknown key {key}", "grep -n '' conf/base.toml  # lists every key")
    into[section][name] = value


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _explain(error: ValidationError, origin: str) -> str:
    problems = [f"{'.'.join(str(part) for part in e['loc']) or 'file'}: {e['msg']}" for e in error.errors()]
    return f"{origin}: " + "; ".join(problems)
