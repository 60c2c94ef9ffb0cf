"""The numbers: one frozen, strict model per room, read from `conf/`.

`conf/base.toml` is complete and runnable; other files and `--set section.key=value` state
differences only. Unknown keys are errors. Units live in the names.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, ClassVar, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator, model_validator
from pydantic.config import JsonDict

from nightjar.contracts import EVENTS, BadInput, Kind
from nightjar.contracts.features import WINDOWS_DAYS
from nightjar.contracts.table import _SHOP

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Words = Annotated[tuple[str, ...], Field(strict=False)]
CrmTool = Literal["braze", "hubspot", "sfmc", "klaviyo"]

Character = Annotated[str, Field(min_length=1, max_length=1)]

#: Of a setting that is code, a command, an address or a file of this machine: it is the operator's, and no run's.
OPERATOR: JsonDict = {"set_by": "operator"}

#: Columns of `events` that no mapping names.
FILLED_BY_CLEAN = {"dt", "landed", "bot_rule"}

#: Columns beside the raw ones. A raw column of that name, in any case, is read with a _ behind it.
RESERVED = {"raw", "landed", "part", "element", "position", "_corrupt_record"}

_DAY_TOKEN = re.compile(r"\{(?:day|yyyy|mm|dd)\}")


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
    """Bounds of the row and bot rules in docs/data.md. Patterns are Java regular expressions; "" is off."""

    first_day: date  # of any log: what is dated earlier comes from a clock that was never set
    last_day: date
    days_late_allowed: Annotated[int, Field(ge=0)]
    clock_skew_minutes: Annotated[
        int, Field(ge=0)
    ]  # an event may be this far after its drop's midnight, or its receipt
    actor_placeholders: Words  # logins and devices that stand for none, in lower case
    item_placeholders: Words  # item ids that stand for none, in lower case
    item_pattern: str  # what the ids of items look like; others are postage, fees, vouchers
    max_id_bytes: Count  # of ids, campaigns and surfaces, in UTF-8
    max_text_bytes: Count  # of searches and titles, in UTF-8
    max_price: Annotated[float, Field(gt=0)]
    min_purchase_price: Annotated[float, Field(ge=0)]  # 0 allows free gifts
    max_quantity: Count
    test_user_pattern: str  # over the shop's own user ids
    test_campaign_pattern: str
    test_item_pattern: str
    test_agent_pattern: str  # over attributes['user_agent']
    bot_agent_pattern: str  # over attributes['user_agent']
    bot_events_per_hour: Count  # more than this from one visitor is a bot
    metronome_min_events: Annotated[int, Field(ge=3)]  # at different moments of one session
    metronome_max_variation: Annotated[float, Field(ge=0)]  # of the steps: standard deviation over mean
    crawl_min_items: Count  # different ones in one session
    crawl_max_gap_seconds: Annotated[float, Field(gt=0)]  # half of the session's steps are at most this long

    @model_validator(mode="after")
    def _days_in_order(self) -> Clean:
        if self.first_day > self.last_day:
            raise ValueError("first_day is after last_day")
        return self


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
    max_complete_later_hours: Annotated[
        float, Field(ge=0)
    ]  # 99.9 % of a drop may be received this much later than usual
    max_duplicate_share: Share
    max_duplicate_share_rise: Share  # above the trailing median
    max_conflict_share: Share
    max_repaired_share: Share  # of rows with texts in another code page
    max_bot_share: Share
    max_bot_share_rise: Share  # above the trailing median
    key_rows: Count  # of more rows a part of about this many is searched for keys that occur twice
    max_events_per_session: Count
    max_capped_share: Share  # of sessions that a cap cut
    max_shared_device_share: Share  # of the devices that logins were seen on
    max_broken_components: Annotated[int, Field(ge=0)]  # components too large to be one person
    max_members_per_person: Count  # more devices and logins than this: some login is a default, not a person
    max_fallback_share: Share
    min_overlap_yesterday: Share  # of recommended (user, item) pairs, on average per user
    max_overlap_yesterday: Share
    max_label_rate_distance: Share  # largest gap of any label's rate to its trailing median


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


class Features(Section):
    """What `user_features` look back on; the fixed windows are part of the table's contract."""

    history_days: Annotated[int, Field(ge=max(WINDOWS_DAYS))]  # of columns without a window in their name
    open_cart_days: Count  # what was carted earlier and not bought is abandoned


class Labels(Section):
    """How far `labels` look ahead; a row is written once the longest of these is over."""

    horizon_days: Count  # of purchases, carts, clicks and coupons
    churn_days: Count  # nothing for so long is churn
    instants: Count  # earlier ones that models of people learn from; the latest with labels judges them
    step_days: Count  # between two of them
    min_history_days: Count  # of the log before an instant that is learned from

    @property
    def longest_days(self) -> int:
        return max(self.horizon_days, self.churn_days)

    def judged_on(self, night: date) -> date:
        """The latest instant whose windows are over."""
        return night - timedelta(days=self.longest_days)

    def known_by(self, instant: date) -> date:
        """The night on which an instant's windows are over."""
        return instant + timedelta(days=self.longest_days)

    def learned_from(self, night: date, log_begins: date, held: Collection[date] | None = None) -> list[date]:
        """Instants whose windows end before models are judged, latest first, with enough of the log before them.

        Args:
            held: days to choose from, where not every day will do. For one that is missing the latest before it serves,
                as far apart: a shop's first night wrote its instants by its own day.
        """
        latest, step = self.judged_on(night) - timedelta(days=self.longest_days), timedelta(days=self.step_days)
        oldest = max(log_begins + timedelta(days=self.min_history_days), latest - 2 * self.instants * step)
        found: list[date] = []
        for back in range((latest - oldest).days + 1):
            day = latest - timedelta(days=back)
            if (held is None or day in held) and (not found or found[-1] - day >= step):
                found.append(day)
        return found[: self.instants]


class Predict(Section):
    """What is foretold of people, and how it is learned."""

    tasks: Words  # of `nightjar.predict.tasks`; none: nothing is foretold
    sensitive: Words  # columns that the contract calls sensitive and that may enter a model all the same
    tuning_share: Share  # of people, whom heads do not learn from: they stop them, weigh and calibrate
    min_positives: Count  # of the rarer outcome among those who learn, tune and judge; fewer: the task waits
    max_age_days: Count  # an older model is trained anew
    epochs: Annotated[int, Field(ge=0)]  # of the heads, at most
    batch_people: Count
    head_rate: Annotated[float, Field(gt=0)]
    encoder_rate: Annotated[float, Field(ge=0)]  # 0 leaves the encoder as the recommender's training left it
    # Two regular expressions, of which some never end: no run sets them. Their first groups tell trials apart.
    #: campaigns whose impressions offer a coupon by lot; "": there are none
    trial_treated: str = Field(json_schema_extra=OPERATOR)
    #: campaigns that those see whom the lot left out
    trial_control: str = Field(json_schema_extra=OPERATOR)
    trial_propensity: Share  # the lot's chance of an offer
    #: a list of confirmed cases of fraud, CSV with user_id and found_on, as the shop names people; "": there is none
    cases: str = Field(json_schema_extra=OPERATOR)
    force: bool  # train, whatever the age

    @field_validator("trial_treated", "trial_control")
    @classmethod
    def _readable(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"no regular expression: {error}") from error
        return pattern

    @model_validator(mode="after")
    def _trial_is_whole(self) -> Predict:
        if bool(self.trial_treated) != bool(self.trial_control):
            raise ValueError("a trial has two arms: name trial_treated and trial_control, or neither")
        if self.trial_treated and not 0 < self.trial_propensity < 1:
            raise ValueError("trial_propensity is not between 0 and 1: nobody could be compared")
        return self


Money = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Decisions(Section):
    """Whom to act on. Money is in the shop's currency, per night."""

    wanted: Words  # of coupon, retention, promotion, cart_reminder, fraud_review; none: nothing is decided
    control_share: Share  # of people, kept aside per decision to see what acting does; nobody from fraud_review
    control_salt: str  # another one draws other people
    margin: Share  # of a price that is left to the shop
    coupon_offer: str  # what `offer` says
    coupon_cost: Money  # of one that is redeemed
    coupon_budget: Money  # what all of a night may cost if everybody redeems
    coupon_log_odds: Annotated[
        float, Field(ge=0, allow_inf_nan=False)
    ]  # without an uplift score: how much an offer is assumed to raise the log-odds of buying
    coupon_most: Count  # people
    retention_offer: str
    retention_most: Count
    promotion_offer: str
    promotion_most: Count
    cart_offer: str
    cart_most: Count
    review_most: Count


class Marts(Section):
    """Analysis tables for BI."""

    lookback_days: Count  # before a day: how far back newness, first views and earlier sessions are looked for
    top_categories: Count  # those with most events of people; the rest is one row
    top_campaigns: Count  # those with most sessions of the day; the rest is one row
    top_paths: Count  # those with most sessions of the day and platform; the rest is one row
    path_kinds: Annotated[tuple[Annotated[Kind, Field(strict=False)], ...], Field(strict=False, min_length=1)]
    path_max_run: Count  # steps of one kind in a row that a path shows
    path_max_steps: Count
    cart_hours: Count  # what is bought no later counts as bought; otherwise it was abandoned
    cart_sessions: Annotated[int, Field(ge=0)]  # nor in a later session of the person than this many; 0: in any
    recovery_days: Count  # after the item went into the cart, for what was abandoned


class Derivable(Section):
    """A section in which some keys may say "auto": they follow from the data's size, or from the processor.

    The rules are those of `learn/recipe.py`.
    """

    #: Key -> what it holds until the data has been counted.
    provisional: ClassVar[dict[str, Any]]

    @model_validator(mode="before")
    @classmethod
    def _without_auto(cls, data: Any) -> Any:
        automatic = [key for key in cls.provisional if isinstance(data, dict) and data.get(key) == "auto"]
        if not automatic:
            return data
        values = {key: cls.provisional[key] for key in automatic}
        return {**data, **values, "derived": [*data.get("derived", ()), *automatic]}


class Model(Derivable):
    """Architecture; `conf/models/<name>.toml` holds one complete description each."""

    provisional = {"max_length": 50, "dropout": 0.2}

    name: Literal["sasrec", "gru", "lstm", "esasrec", "bert4rec", "hstu"]
    width: Count
    num_blocks: Count
    num_heads: Count
    max_length: Count
    dropout: Annotated[float, Field(ge=0, lt=1)]
    # What an entry is besides its item; unknown ones and those that the files lack count as nothing known.
    inputs: Annotated[tuple[Literal["kind", "gap", "platform", "price", "category"], ...], Field(strict=False)] = ()
    cosine_scale: Annotated[float, Field(ge=0)] = 0.0  # scores are cosines times this; 0: dot products
    time_bias: bool = False  # `hstu` weighs entries also by how long they are ago
    #: keys that are derived by rules; "auto" as their value says the same
    derived: Annotated[tuple[Literal["max_length", "dropout"], ...], Field(strict=False)] = ()


class Train(Derivable):
    provisional = {"batch_users": 128, "loss": "softmax", "precision": "float32"}

    seed: int
    epochs: Count
    pretrain_epochs: Annotated[int, Field(ge=0)]  # before the others, on the model's own tasks; only `bert4rec` has any
    mask_share: Annotated[float, Field(gt=0, lt=1)]  # of entries, hidden in those epochs
    target_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0  # chance to ask for the item behind the next one, and so on
    batch_users: Count  # on average; a step holds about as many targets as the next one
    loss: Literal["softmax", "sampled_softmax", "gbce", "bce"]  # over all items, or over the target and negatives
    num_negatives: Count  # of a step, shared by its targets; not for `softmax`
    negatives_from: Literal["uniform", "popularity"]  # chances of an item to be a negative
    log_q_correction: bool  # `sampled_softmax` estimates the softmax over all items without bias
    gbce_calibration: Share  # of `gbce`: 0 is `bce`, 1 gives calibrated probabilities
    precision: Literal["float32", "bfloat16"]  # of products in `softmax`; bfloat16 where the processor multiplies in it
    learning_rate: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)]
    #: of the weights over steps; the average is judged and kept. 0: the latest weights are
    average_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    validation_share: Share  # of users, by hash; their last item chooses the epoch
    max_validation_users: Count  # a smaller share is taken where there would be more of them
    patience_epochs: Count
    processes: Count
    max_age_days: Annotated[int, Field(ge=0)]  # an older champion is due for training
    drift_age_days: Annotated[int, Field(ge=0)]  # an older champion is trained anew when a night drifts
    checkpoint_every_steps: Count
    launcher: Literal["torchrun", "spark"] = "torchrun"  # processes of this machine, or one per task of a Spark cluster
    max_restarts: Annotated[int, Field(ge=0)] = 3  # of all processes, from the last checkpoint, after one has died
    sharding: Literal["none", "full"] = "none"  # `full` splits weights and moments over the processes (FSDP2)
    recompute: bool = False  # what blocks compute, once more in the backward pass, instead of keeping it
    compile: bool = False  # the blocks, by torch.compile; needs a C++ compiler
    model_precision: Literal["float32", "bfloat16"] = "float32"  # of products inside the blocks, in training
    force: bool
    #: keys that are derived by rules; "auto" as their value says the same
    derived: Annotated[tuple[Literal["batch_users", "loss", "precision"], ...], Field(strict=False)] = ()


class Promotion(Section):
    """A candidate becomes champion when every clause holds on the same rows."""

    metric: Literal["ndcg@10", "hr@10", "mrr"]
    min_gain_over_champion: float  # relative; negative tolerates a loss
    must_beat: Annotated[tuple[Literal["popularity", "markov", "cooccurrence", "item-knn"], ...], Field(strict=False)]
    min_users: Count


class Score(Section):
    k: Count
    surface: str
    exclude: Literal["none", "seen", "purchased"]
    available_within_days: Annotated[int, Field(ge=0)]  # items silent for longer are unavailable; 0: all are
    batch_users: Count
    popular_days: Count
    explain_items: Count  # latest distinct items of a history that are left out in turn, to see which moved a score
    explain_entries: Count  # of a history, that are read again for that at most: of long ones fewer items are tried
    content_neighbours: Annotated[int, Field(ge=0)] = 0  # known items that a new item's row is made of; 0: it gets none
    #: a file of business rules; "" for conf/rules/<shop>.toml, where there is one
    rules: str = Field(json_schema_extra=OPERATOR)
    held_out_share: Share = (
        0.0  # of people with a list by the model: they get what is popular, to see what the model does
    )
    held_out_salt: str = "held out"  # another one draws other people


class Realised(Section):
    """How a night's lists are judged by what people did afterwards."""

    window_days: Count  # after the night
    cutoffs: Annotated[tuple[Count, ...], Field(strict=False, min_length=1)]  # lengths of the lists that count


class Watch(Section):
    """What a night may differ in from the nights before it; beyond, it is said, or stops before publishing."""

    trailing_nights: Count
    min_nights: Count  # fewer past nights than this: nothing is compared
    warn_jensen_shannon: Share  # divergence from the trailing mean, in bits
    warn_l_infinity: Share  # the largest gap of any one share
    warn_population_stability: Annotated[float, Field(ge=0)]
    stop_population_stability: Annotated[float, Field(ge=0)]  # 0: no drift stops a night
    min_coverage: Share  # of available items, in anybody's list
    max_concentration: Share  # Gini coefficient of how often items are shown
    max_miscalibration: Share  # divergence of the lists' categories from those that people touch lately, in bits
    max_stale_hours: Annotated[float, Field(ge=0)]  # the day's last event may come this much earlier than usual
    min_complete_share: Share  # of the drop's records that became events
    max_duplicate_share: Share
    max_week_over_week: Annotated[float, Field(ge=0)]  # change of events, relative
    max_calibration_error: Share  # of a realised score, beyond what chance alone would show
    max_level_ratio: Annotated[float, Field(ge=1)]  # of what happened to what was foretold, or the other way round
    max_decile_moves: Share  # of people, by more than one decile since the night before


class Digest(Section):
    """Who is told of a night. Addresses hold secrets: they stand in the environment, here are the variables' names."""

    when: Literal["never", "bad", "warn", "always"]  # from which verdict on
    #: smtp:// or smtps://user:password@host:port/?from=address&to=address
    smtp_variable: str = Field(json_schema_extra=OPERATOR)
    #: URL that takes a JSON object by POST
    webhook_variable: str = Field(json_schema_extra=OPERATOR)
    timeout_seconds: Annotated[float, Field(gt=0)]


class Publish(Section):
    target: Literal["duckdb", "postgres", "snowflake", "bigquery"]  # the last two were never run against the service
    keep_nights: Count  # of recommendations, scores, decisions and items; analysis tables and ledgers keep every day
    exports: Annotated[tuple[CrmTool, ...], Field(strict=False)] = ()  # each night leaves files, as `make export` does


Days = Annotated[int, Field(ge=0)]


class Retention(Section):
    """Days for which the lake keeps a table's partitions, before the night's own; 0 keeps all.

    `retain` refuses numbers below what the jobs look back on. Identity and the ledgers keep every day: the first is
    read whole, the others name nobody.
    """

    events: Days
    quarantine: Days
    sessions: Days
    session_events: Days
    session_renames: Days
    items: Days
    sequences: Days
    vocabulary: Days
    holdout: Days
    user_features: Days
    labels: Days
    marts: Days  # every analysis table; the warehouse keeps what it has
    recommendations: Days  # the warehouse has its own publish.keep_nights
    foretold: Days
    decisions: Days


class Upkeep(Section):
    """What maintenance leaves lying, and for how long."""

    grace_hours: Annotated[float, Field(gt=0)]  # younger files are nobody's garbage yet: longer than any job or reader
    keep_snapshots: Annotated[int, Field(ge=0)]  # of the lake, behind the current one
    max_small_files: Count  # more of them in one partition are merged
    small_file_mib: Count  # a smaller file is small
    keep_candidates_days: Count  # models that never became champion, and what failed trainings left


class Spark(Section):
    master: str = Field(json_schema_extra=OPERATOR)
    driver_memory_gib: Count
    #: of the driver's JVM; it must know them before it starts
    java_options: str = Field(json_schema_extra=OPERATOR)
    shuffle_partitions: Count
    #: OpenLineage's Spark listener; "": lineage of jobs, not of single queries
    openlineage_jar: str = Field(json_schema_extra=OPERATOR)


class Conf(Section):
    """Everything a night needs to know, resolved."""

    simulate: Simulate
    clean: Clean
    gate: Gate
    sessions: Sessions
    identity: Identity
    lake: Lake
    sequences: Sequences
    features: Features
    labels: Labels
    marts: Marts
    model: Model
    train: Train
    promotion: Promotion
    predict: Predict
    decisions: Decisions
    score: Score
    realised: Realised
    watch: Watch
    digest: Digest
    publish: Publish
    retention: Retention
    upkeep: Upkeep
    spark: Spark

    def dump(self) -> dict[str, Any]:
        """Plain values, for result manifests and trackers."""
        return self.model_dump(mode="json")


class Knob(Section):
    """What a search may choose for one setting: one of a list, or anything between two bounds."""

    choices: Annotated[tuple[str | bool | int | float, ...], Field(strict=False)] = ()
    low: float | None = None
    high: float | None = None
    log: bool = False  # factors, not differences, are spread evenly
    whole: bool = False  # numbers only

    @model_validator(mode="after")
    def _one_way(self) -> Knob:
        bounded = self.low is not None and self.high is not None and self.low < self.high
        if bool(self.choices) == bounded or (self.low is None) != (self.high is None):
            raise ValueError("name choices, or low and a greater high")
        if self.log and (self.low is None or self.low <= 0):
            raise ValueError("log needs a low above 0")
        return self


class Tune(Section):
    """How settings are searched; `conf/tune.toml` is complete."""

    startup_trials: Count
    warmup_epochs: Annotated[int, Field(ge=0)]
    space: Annotated[dict[str, Knob], Field(min_length=1)]

    @field_validator("space")
    @classmethod
    def _settings_of_a_model(cls, space: dict[str, Knob]) -> dict[str, Knob]:
        fields = {"model": Model.model_fields, "train": Train.model_fields}
        for name in space:
            section, _, key = name.partition(".")
            if key not in fields.get(section, {}):
                raise ValueError(f"{name} is no setting of [model] or [train]")
        return space


class Files(Section):
    """How one kind of raw file becomes columns; text unless a type is named."""

    format: Literal["jsonl", "csv", "parquet", "lines"]
    pattern: str = "*"  # daily: names a day's files, with {day} or {yyyy}, {mm} and {dd}; single: glob below a folder
    delimiter: Character = ","  # csv only
    quote: Annotated[str, Field(max_length=1)] = '"'  # csv only; "": quotes mean nothing
    #: csv without a header line: the names of its columns, in order.
    columns: Annotated[tuple[str, ...], Field(strict=False)] = ()
    #: lines only: Java regular expression that matches a whole line, a group `(?<name>...)` per column.
    regex: str = ""
    #: jsonl: raw field -> Spark type. csv, parquet: columns that some files lack; they are null there.
    fields: dict[str, str] = Field(default_factory=dict)

    @field_validator("pattern")
    @classmethod
    def _stays_below(cls, pattern: str) -> str:
        path = PurePosixPath(pattern)
        if not path.parts or path.is_absolute() or ".." in path.parts or "\0" in pattern:
            raise ValueError("it names files below the folder of raw logs: no .., no / at its beginning, not empty")
        return pattern

    @model_validator(mode="after")
    def _fits_format(self) -> Files:
        if self.format == "jsonl" and not self.fields:
            raise ValueError("format jsonl needs [fields]")
        if self.format == "lines" and not self.groups:
            raise ValueError("format lines needs regex, with a group (?<name>...) per column")
        if self.format == "csv" and set(self.fields.values()) - {"STRING"}:
            raise ValueError("[fields] of csv are STRING: its columns are text")
        for key, formats in {"columns": ("csv",), "regex": ("lines",), "fields": ("jsonl", "csv", "parquet")}.items():
            if getattr(self, key) and self.format not in formats:
                raise ValueError(f"{key} means nothing for format {self.format}")
        return self

    @property
    def groups(self) -> tuple[str, ...]:
        """The columns of format lines, in the order of the regular expression."""
        return tuple(re.findall(r"\(\?<([A-Za-z][A-Za-z0-9]*)>", self.regex))

    @property
    def known(self) -> dict[str, str]:
        """Columns that are there whatever the files hold -> Spark type."""
        return dict.fromkeys([*self.columns, *self.groups], "STRING") | self.fields

    @property
    def names_days(self) -> bool:
        return "{day}" in self.pattern or all(token in self.pattern for token in ("{yyyy}", "{mm}", "{dd}"))

    def glob(self, day: date | None) -> str:
        """The pattern of one day's files; of every day's without one."""
        tokens = {"{day}": "%Y-%m-%d", "{yyyy}": "%Y", "{mm}": "%m", "{dd}": "%d"}
        if day is None:
            return re.sub(r"\*+", "*", _DAY_TOKEN.sub("*", self.pattern))
        return _DAY_TOKEN.sub(lambda found: day.strftime(tokens[found[0]]), self.pattern)

    def path_regex(self) -> tuple[str, list[str]]:
        """A regular expression, Java's and Python's, for the end of a path, and the day token of each of its groups."""
        pieces = _DAY_TOKEN.split(self.pattern)
        tokens = _DAY_TOKEN.findall(self.pattern)
        literals = [re.escape(piece).replace(r"\*", "[^/]*").replace(r"\?", "[^/]") for piece in pieces]
        digits = {"{day}": r"(\d{4}-\d{2}-\d{2})", "{yyyy}": r"(\d{4})", "{mm}": r"(\d{2})", "{dd}": r"(\d{2})"}
        groups = [digits[token] for token in tokens]
        found = "".join(literal + group for literal, group in zip(literals, [*groups, ""], strict=True))
        return f"(?:^|/){found}$", tokens


class Source(Files):
    """How one kind of raw log becomes events; a file under `conf/sources/`."""

    name: str
    doc: str
    #: another mapping, by name or path: this one then states differences only.
    extends: str = ""
    time_zone: str  # the shop's; it cuts days
    layout: Literal["daily", "single"]
    history_days: Count = 35  # days before the night that are landed when missing
    #: several kinds of files: name -> those of the keys from format to fields that differ; column `part` has the name.
    parts: dict[str, Files] = Field(default_factory=dict)
    #: Spark SQL that gives an array: each element is a row, with the columns `element` and `position` (from 0).
    explode: str = ""
    #: further columns, in order: name -> Spark SQL over the raw columns and those above it.
    derived: dict[str, str] = Field(default_factory=dict)
    #: events column -> Spark SQL over raw and derived columns. `kind` is looked up in `kinds` afterwards.
    events: dict[str, str]
    kinds: dict[str, Annotated[Kind, Field(strict=False)]]
    #: words of `kind` that are no event of a shop: left out and counted nowhere. Words in neither list are rejected.
    ignored: Annotated[tuple[str, ...], Field(strict=False)] = ()
    #: extra row rules: reason -> Spark SQL that is true for a bad row. Raw columns that an event column hides end in _.
    rejects: dict[str, str] = Field(default_factory=dict)
    #: overrides of [gate], for shops that live otherwise
    gate: dict[str, float | int] = Field(default_factory=dict)
    #: overrides of other sections, as "section.key" = value
    settings: dict[str, Any] = Field(default_factory=dict)

    _file: str = PrivateAttr("")

    @model_validator(mode="before")
    @classmethod
    def _parts_inherit(cls, data: Any) -> Any:
        """A part states what differs from the source's own files."""
        if isinstance(data, dict) and isinstance(data.get("parts"), dict):
            own = {key: data[key] for key in Files.model_fields if key in data}
            parts = {name: {**own, **part} if isinstance(part, dict) else part for name, part in data["parts"].items()}
            return {**data, "parts": parts}
        return data

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
        if self.layout == "daily" and not all(files.names_days for files in self.files.values()):
            raise ValueError("layout daily needs {day}, or {yyyy}, {mm} and {dd}, in pattern")
        patterns = [files.pattern for files in self.parts.values()]
        if len(set(patterns)) < len(patterns):
            raise ValueError("[parts] need a pattern each, so that a file belongs to one of them")
        both = set(self.kinds) & set(self.ignored)
        if both:
            raise ValueError(f"[kinds] and ignored both name {', '.join(sorted(both))}")
        taken = {name for name in self.derived if name.lower() in RESERVED}
        if taken:
            raise ValueError(f"[derived] names columns of ours: {', '.join(sorted(taken))}")
        return self

    @property
    def files(self) -> dict[str, Files]:
        """Part -> how its files are read; the one part of a source without parts has no name."""
        return self.parts or {"": self}

    @property
    def mapping(self) -> str:
        """The file that a person edits."""
        return self._file or f"conf/sources/{self.name}.toml"

    @property
    def argument(self) -> str:
        """What a person types to mean this source: its name, or the path of a file elsewhere."""
        return self.name if self.mapping == f"conf/sources/{self.name}.toml" else self.mapping

    def end_of(self, day: date) -> datetime:
        """The instant in UTC at which the shop's day is over."""
        midnight = datetime.combine(day + timedelta(days=1), time(), ZoneInfo(self.time_zone))
        return midnight.astimezone(UTC)


def day_before(moment: datetime, time_zone: str) -> date:
    """The shop's day that was over at `moment`.

    Calendar arithmetic on the shop's own date, so a day of 23 or 25 hours moves nothing.
    """
    return moment.astimezone(ZoneInfo(time_zone)).date() - timedelta(days=1)


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
            _put(merged, key, value, source.mapping)
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


def check_run_sets(sets: Iterable[str]) -> None:
    """Hold the settings of a run, which whoever may start one chooses, against what is the operator's alone.

    Raises:
        BadInput: one of them is marked `OPERATOR`.
    """
    for assignment in sets:
        key = assignment.partition("=")[0].strip()
        if key in OPERATORS_OWN:
            raise BadInput(
                f"{key} is set by the operator of this installation, not by a run",
                f"edit conf/base.toml, or [settings] of the shop's mapping: {key} = …",
            )


def _operators_own() -> frozenset[str]:
    sections = {name: field.annotation for name, field in Conf.model_fields.items()}
    return frozenset(
        f"{name}.{key}"
        for name, section in sections.items()
        if isinstance(section, type) and issubclass(section, Section)
        for key, field in section.model_fields.items()
        if field.json_schema_extra == OPERATOR
    )


#: "section.key" of every setting that no run may set.
OPERATORS_OWN = _operators_own()


def load_tune(file: Path) -> Tune:
    """Read what a search is to choose from.

    Raises:
        BadInput: no such file, no TOML, or a knob that fits no setting.
    """
    try:
        return Tune.model_validate(read_toml(file))
    except ValidationError as error:
        raise BadInput(_explain(error, str(file)), f"edit {file}") from error


def load_source(name_or_path: str) -> Source:
    """Read `conf/sources/<name>.toml`, or a path to such a file, and the mapping that it extends.

    Raises:
        BadInput: no such file, no TOML, unknown keys, or a mapping without the needed columns.
    """
    path = _source_path(name_or_path)
    try:
        source = Source.model_validate({"name": path.stem, **_extended(path, ())})
    except ValidationError as error:
        raise BadInput(_explain(error, str(path)), f"edit {path}") from error
    inside = path.resolve().is_relative_to(repository())
    source._file = str(path.resolve().relative_to(repository()) if inside else path)
    return source


def load_shop(name: object) -> Source:
    """`load_source` by a name that came from outside: never by a path, since a mapping's SQL is code.

    Raises:
        BadInput: it is no name, or as `load_source`.
    """
    if not isinstance(name, str) or not _SHOP.fullmatch(name):
        raise BadInput(f"{str(name)[:100]!r} is no name of a source", "ls conf/sources")
    return load_source(name)


def _source_path(name_or_path: str) -> Path:
    folder = repository() / "conf" / "sources"
    path = Path(name_or_path) if name_or_path.endswith(".toml") else folder / f"{name_or_path}.toml"
    if "\0" in name_or_path or not path.is_file():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.toml")))
        raise BadInput(f"no source mapping {path}", f"choose one of {known}, or write {path}")
    return path


def _extended(path: Path, below: tuple[Path, ...]) -> dict[str, Any]:
    """The file over the mapping that it extends: tables key by key, everything else replaced."""
    stated = read_toml(path)
    parent = stated.get("extends")
    if not isinstance(parent, str) or not parent:
        return stated
    beside = path.parent / parent  # a relative path is relative to the file that names it
    parent_path = _source_path(str(beside) if parent.endswith(".toml") else parent)
    chain = (*below, path.resolve())
    if parent_path.resolve() in chain:
        raise BadInput(f"{path} extends itself through {parent}", f"edit {path}: remove extends")
    return _over(_extended(parent_path, chain), stated)


def _over(base: dict[str, Any], stated: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in stated.items():
        mine = merged.get(key)
        merged[key] = _over(mine, value) if isinstance(mine, dict) and isinstance(value, dict) else value
    return merged


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
