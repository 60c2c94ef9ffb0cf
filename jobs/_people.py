"""What the jobs that foretell read and teach: people as of instants, side by side in features, labels and histories."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file

from nightjar.contracts import IDENTITY, IDENTITY_LINKS, LABELS, SEQUENCES, USER_FEATURES, Partition, Table
from nightjar.contracts.render import arrow_schema
from nightjar.learn import heads
from nightjar.learn.checkpoint import MODEL, LoadedModel, load_model, save_model
from nightjar.learn.dataset import concatenated
from nightjar.learn.heads import Answers, Heads, Lesson, People
from nightjar.learn.histories import WHOLE, Histories, read_histories
from nightjar.learn.models import SequenceModel
from nightjar.learn.surprise import surprise
from nightjar.learn.vocabulary import Vocabulary
from nightjar.predict.accounts import with_accounts
from nightjar.predict.cases import CASES, read_cases, with_cases
from nightjar.predict.fitting import is_tuning
from nightjar.predict.task import SURPRISE, Binary
from nightjar.prep.pseudonyms import pseudonyms
from nightjar.settings import Conf, Predict, Source
from nightjar.stores.home import Home
from nightjar.stores.lake import Lake
from nightjar.stores.secrets import pseudonym_key

#: Rows of `sequences` that are read at once.
_READ_ROWS = 2**16

HEADS = "heads.safetensors"


class Instant(NamedTuple):
    """Everybody with features as of a day's end, by pseudonym; row for row the same people."""

    day: date
    features: pa.Table
    labels: pa.Table  #: as they are in the lake, with cases; of a night, without rows
    histories: Histories
    seconds: int  #: of the instant, since 1970-01-01 UTC

    def where(self, which_B: NDArray[np.bool_]) -> Instant:
        """These people only; labels stay."""
        mask, people = pa.array(which_B), np.flatnonzero(which_B)
        return self._replace(features=self.features.filter(mask), histories=self.histories.take(people))

    @property
    def instants_B(self) -> NDArray[np.int64]:
        return np.full(self.features.num_rows, self.seconds, np.int64)


class Cases(NamedTuple):
    """What the shop found out about its people."""

    people: pa.Table  #: `nightjar.predict.cases.CASES`, by pseudonym; empty where the shop keeps no list
    window_days: int  #: after an instant, in which a case counts

    @classmethod
    def of(cls, home: Home, conf: Conf) -> Cases:
        """Those of the list that `predict.cases` names, a path as seen from NIGHTJAR_HOME.

        Raises:
            BadInput: the list cannot be read.
        """
        if not conf.predict.cases:
            return cls(CASES.empty_table(), conf.labels.longest_days)
        told = read_cases(home.root / conf.predict.cases)
        named = pseudonyms(pseudonym_key(home), "user", told.column("user_id").combine_chunks())[1]
        return cls(told.set_column(0, "user_id", named), conf.labels.longest_days)


def labels_of(lake: Lake, at: Partition, cases: Cases) -> pa.Table:
    """The day's `labels`, with what the shop found out."""
    members = up_to(lake, IDENTITY, at) if cases.people.num_rows else arrow_schema(IDENTITY).empty_table()
    return with_cases(rows(lake, LABELS, at), cases.people, members, window_days=cases.window_days)


def read_instant(
    source: Source, lake: Lake, at: Partition, vocabulary: Vocabulary | None, *, cases: Cases | None = None
) -> Instant:
    """Read one day: with `cases` those who have labels, otherwise everybody; no vocabulary, no histories."""
    features, labels = rows(lake, USER_FEATURES, at), arrow_schema(LABELS).empty_table()
    if cases is not None:
        told = labels_of(lake, at, cases)
        places = pc.index_in(features.column("user_id"), told.column("user_id").combine_chunks())
        features, labels = features.filter(pc.is_valid(places)), told.take(pc.drop_null(places))
    user_ids = features.column("user_id").combine_chunks()
    found: list[Histories] = []
    if vocabulary is not None and lake.has(at.of(SEQUENCES)):
        files = lake.files(at.of(SEQUENCES))
        found = list(read_histories(files, vocabulary, max_length=WHOLE, rows_per_batch=_READ_ROWS))
    seconds = int(source.end_of(at.day).timestamp())
    return Instant(at.day, features, labels, concatenated(found).of(user_ids), seconds)


def with_suspicions(lake: Lake, at: Partition, one: Instant, recommender: LoadedModel | None, seed: int) -> Instant:
    """Features with what reviewers of fraud look at: the accounts on people's devices, and how surprising a history is.

    Args:
        recommender: the model of next items whose vocabulary the histories were read with; without one all is null.
    """
    links, members = (up_to(lake, table, at) for table in (IDENTITY_LINKS, IDENTITY))
    found_B = np.full(one.features.num_rows, np.nan)
    if recommender is not None:
        found_B = surprise(recommender.model, one.histories, seed=seed)
    features = with_accounts(one.features, links, members)
    return one._replace(features=features.append_column(SURPRISE, pa.array(found_B, from_pandas=True)))


def up_to(lake: Lake, table: Table, at: Partition) -> pa.Table:
    """The table's rows of all days up to the instant; a shop that has none yet has none."""
    days = [day for day in lake.days(at.shop, table.name) if day <= at.day]
    return pa.concat_tables([arrow_schema(table).empty_table(), *(rows(lake, table, at.on(day)) for day in days)])


def rows(lake: Lake, table: Table, at: Partition) -> pa.Table:
    """The table's partition of the day, in its order."""
    schema = arrow_schema(table)
    tables = [pq.ParquetFile(file).read(columns=schema.names).cast(schema) for file in lake.files(at.of(table))]
    ordered = [(name, "ascending") for name in table.order]
    return pa.concat_tables([schema.empty_table(), *tables]).sort_by(ordered)


def teach(
    encoder: SequenceModel, known: Sequence[Instant], tasks: Sequence[Binary], conf: Predict, *, seed: int
) -> tuple[Heads, list[float]]:
    """Heads for all tasks at once, on the earlier instants; the encoder learns on, its weights change.

    Returns:
        The heads, and the loss on the tuning people before the first epoch and after each.
    """
    everybody = People(
        concatenated([one.histories for one in known]),
        np.concatenate([one.instants_B for one in known]),
        np.stack([np.concatenate([task.outcomes(one.labels) for one in known]) for task in tasks], axis=1),
    )
    tunes_B = np.concatenate([is_tuning(one.features.column("user_id"), conf.tuning_share) for one in known])
    torch.manual_seed(seed)
    taught = Heads(encoder, len(tasks))
    learning, tuning = everybody.take(np.flatnonzero(~tunes_B)), everybody.take(np.flatnonzero(tunes_B))
    lesson = Lesson(conf.epochs, conf.batch_people, conf.head_rate, conf.encoder_rate)
    return taught, heads.fit(taught, learning, tuning, lesson, seed=seed)


def answers(taught: Heads | None, one: Instant, place: int | None) -> Answers:
    """What the head of the place says of everybody; not a number without one."""
    if taught is None or place is None:
        return np.full(one.features.num_rows, np.nan)
    return heads.predict(taught, one.histories, one.instants_B)[:, place]


class Encoder(NamedTuple):
    """A taught encoder and which task each of its heads answers."""

    heads: Heads
    vocabulary: Vocabulary
    questions: tuple[str, ...]


def save_heads(folder: Path, encoder: Encoder) -> None:
    """The encoder as any model, and beside it the weights of its heads."""
    save_model(folder, encoder.heads.encoder, encoder.heads.encoder.conf, encoder.vocabulary)
    own = {name: tensor for name, tensor in encoder.heads.state_dict().items() if not name.startswith("encoder.")}
    kept = {name: tensor.detach().contiguous() for name, tensor in own.items()}
    save_file(kept, folder / HEADS, metadata={"questions": json.dumps(encoder.questions)})


def load_encoder(folder: Path) -> LoadedModel | None:
    """What `save_model` or `save_heads` left, if anything."""
    return load_model(folder) if (folder / MODEL).exists() else None


def load_heads(found: LoadedModel, folder: Path) -> Encoder:
    with safe_open(folder / HEADS, framework="pt") as file:
        questions = tuple(json.loads(file.metadata()["questions"]))
        own = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    heads = Heads(found.model, len(questions))
    heads.load_state_dict(own, strict=False)
    return Encoder(heads.eval(), found.vocabulary, questions)
