"""The protocol against a plain definition, and against the rows that scoring writes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from tests.score.small_shop import item_rows, night, random_histories, sequence_rows

from nightjar.contracts import HOLDOUT
from nightjar.contracts.render import arrow_schema
from nightjar.learn.checkpoint import load_model
from nightjar.learn.histories import histories_from_arrow
from nightjar.learn.metrics import MISS
from nightjar.score import evaluation
from nightjar.score.catalogue import Catalogue
from nightjar.score.evaluation import Evaluation, baseline_scorers, evaluate, model_scorer, popularity_scorer
from nightjar.score.model import CatalogueModel
from nightjar.score.recommend import Champion, Recommender
from nightjar.score.rules import Policy

NAMES = [f"i{number:02d}" for number in range(30)]
ITEMS = item_rows(*((name, (7 * n) % 11, 50 + n, 3) for n, name in enumerate(NAMES)))
CATALOGUE = Catalogue.from_items(ITEMS)
KNOWN = [name for n, name in enumerate(NAMES) if n % 7][::-1]
POPULAR = sorted(NAMES, key=lambda name: (-((7 * NAMES.index(name)) % 11), -NAMES.index(name)))


class Window:
    """Histories and what came after, on disk as the lake has them."""

    def __init__(self, folder: Path, histories: dict[str, str], ahead: dict[str, str]) -> None:
        self.histories, self.ahead = histories, ahead
        self.sequences, self.holdout = folder / "sequences.parquet", folder / "holdout.parquet"
        pq.write_table(pa.Table.from_batches([sequence_rows(histories)]), self.sequences, row_group_size=16)
        columns = arrow_schema(HOLDOUT).names
        pq.write_table(pa.Table.from_batches([sequence_rows(ahead).select(columns)]), self.holdout)

    def evaluate(self, exclude: Policy, **scorers: evaluation.Scorer) -> Evaluation:
        return evaluate(scorers, CATALOGUE, sequences=[self.sequences], holdout=[self.holdout], exclude=exclude)

    def targets(self, exclude: Policy) -> dict[str, tuple[str, set[str]]]:
        """The protocol in plain Python: user -> (target, what is hidden), in the order of the histories."""
        found = {}
        for user, text in self.histories.items():
            entries = [entry.split(":") for entry in text.split()]
            hidden = {item for kind, item in entries if exclude == "seen" or (exclude == "purchased" and kind == "P")}
            later = [entry.split(":")[1] for entry in self.ahead.get(user, "").split()]
            shown = [item for item in later if item not in hidden]
            if entries and shown:
                found[user] = (shown[0], hidden)
        return found


@pytest.fixture
def window(tmp_path: Path) -> Window:
    histories = random_histories(90, NAMES, seed=1)
    later = random_histories(120, [*NAMES, "new"], seed=2, longest=4)
    return Window(tmp_path, histories, {user: text for user, text in later.items() if text})


@pytest.mark.parametrize("exclude", ["none", "seen", "purchased"])
def test_popularity_ranks_equal_their_definition(window: Window, exclude: Policy) -> None:
    found = window.evaluate(exclude, popularity=popularity_scorer(CATALOGUE))
    targets = window.targets(exclude)
    expected = [
        [item for item in POPULAR if item not in hidden].index(target) + 1.0 if target in POPULAR else MISS
        for target, hidden in targets.values()
    ]
    assert found.ranks["popularity"].tolist() == expected
    assert found.num_users == len(targets)
    assert found.num_unseen_targets == sum(target == "new" for target, _ in targets.values()) > 0


def test_everybody_is_accounted_for(window: Window) -> None:
    found = window.evaluate("seen", popularity=popularity_scorer(CATALOGUE))
    assert found.num_without_history == sum(not window.histories.get(user) for user in window.ahead) > 0
    assert found.num_users + found.num_without_history + found.num_without_target == len(window.ahead)
    assert found.num_without_target > 0


def test_markov_ranks_equal_their_definition(window: Window) -> None:
    found = window.evaluate("purchased", markov=baseline_scorers(CATALOGUE, [window.sequences])["markov"])
    follows: dict[tuple[str, str], int] = {}
    for text in window.histories.values():
        items = [entry.split(":")[1] for entry in text.split()]
        for pair in pairwise(items):
            follows[pair] = follows.get(pair, 0) + 1
    expected = []
    for user, (target, hidden) in window.targets("purchased").items():
        last = window.histories[user].split()[-1].split(":")[1]
        order = sorted(POPULAR, key=lambda item: -follows.get((last, item), 0))  # stable: ties stay in POPULAR's order
        shown = [item for item in order if item not in hidden]
        expected.append(shown.index(target) + 1.0 if target in shown else MISS)
    assert found.ranks["markov"].tolist() == expected


@pytest.mark.parametrize("exclude", ["none", "seen", "purchased"])
@pytest.mark.parametrize("cells", [100, evaluation.CELLS])
def test_metrics_of_written_rows_are_the_evaluations(
    window: Window, champion: Callable[..., Champion], exclude: Policy, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "CELLS", cells)
    model = champion(KNOWN)
    judged = window.evaluate(
        exclude, model=model_scorer(CatalogueModel(load_model(model.folder), CATALOGUE), CATALOGUE)
    )
    # Everything is available and lists are as long as hr@10 needs, as in the evaluation.
    recommender = Recommender(night(exclude=exclude, k=10, available_within_days=0), CATALOGUE, model)
    rank_of = {
        (row["user_id"], row["item_id"]): row["rank"]
        for batch in recommender.recommend([sequence_rows(window.histories)])
        for row in batch.to_pylist()
    }
    ranks = [rank_of.get((user, target), MISS) for user, (target, _) in window.targets(exclude).items()]
    hits = [rank <= 10 for rank in ranks]
    gains = [1 / np.log2(1 + rank) for rank in ranks]
    means = judged.means("model")
    assert means["hr@10"] == pytest.approx(np.mean(hits), abs=1e-12)
    assert means["ndcg@10"] == pytest.approx(np.mean(gains), abs=1e-12)
    assert 0.1 < means["hr@10"] < 0.9, "or the comparison shows nothing"
    shown = {item for user, item in rank_of if user in window.targets(exclude)}
    assert means["coverage@10"] == pytest.approx(len(shown) / len(NAMES))


def test_an_item_outside_of_a_models_vocabulary_is_a_miss(tmp_path: Path, champion: Callable[..., Champion]) -> None:
    window = Window(tmp_path, {"a": "V:i01", "b": "V:i01"}, {"a": "V:i00", "b": "V:i02"})
    model = CatalogueModel(load_model(champion(KNOWN).folder), CATALOGUE)
    found = window.evaluate("none", model=model_scorer(model, CATALOGUE))
    assert found.ranks["model"][0] == MISS
    assert found.ranks["model"][1] <= len(KNOWN)
    assert found.unseen_target_share == 0


def test_intervals_and_differences_are_of_the_same_people(window: Window) -> None:
    found = window.evaluate(
        "none",
        popularity=popularity_scorer(CATALOGUE),
        markov=baseline_scorers(CATALOGUE, [window.sequences])["markov"],
    )
    interval = found.intervals("markov", seed=1)["hr@10"]
    assert interval.mean == found.means("markov")["hr@10"]
    assert interval.low < interval.mean < interval.high
    difference = found.differences("markov", "popularity", seed=1)["mrr"]
    assert difference.mean == pytest.approx(found.means("markov")["mrr"] - found.means("popularity")["mrr"])


def test_slices_are_of_the_people_judged(tmp_path: Path) -> None:
    """Five people: one new, one with much, one whose item is rare, one whose item is not in the catalogue."""
    long = " ".join(["V:i01"] * 25)
    window = Window(
        tmp_path,
        {"a": "V:i01", "b": long, "c": "V:i01 V:i02 V:i03", "d": "V:i01 P:i02", "e": "V:i05 V:i06"},
        {"a": "V:i29", "b": "V:i29", "c": "V:i00", "d": "V:new", "e": "V:i28"},
    )
    found = window.evaluate("none", popularity=popularity_scorer(CATALOGUE))
    chosen = {name: np.flatnonzero(mask).tolist() for name, mask in found.slices().items()}
    # Items have 50 to 79 events: the 24 most popular, i06 to i29, are what 80 % of them need.
    assert chosen == {
        "one entry": [0],
        "cold: up to 2 entries": [0, 3, 4],
        "short history: up to 5": [0, 2, 3, 4],
        "long history: from 20": [1],
        "tail items": [2],
        "head items": [0, 1, 4],
        "platform web": [0, 1, 2, 3, 4],
    }
    by_slice = found.by_slice("popularity", seed=1)
    ranks = found.ranks["popularity"]
    assert by_slice["head items"]["mrr"].mean == pytest.approx(np.mean(1 / ranks[[0, 1, 4]]))
    assert by_slice["tail items"]["hr@10"].mean == float(ranks[2] <= 10)


def test_lists_of_popularity_are_all_the_same(window: Window) -> None:
    found = window.evaluate("none", popularity=popularity_scorer(CATALOGUE))
    beside = found.beside_accuracy("popularity")
    assert beside["coverage@10"] == pytest.approx(10 / 30)
    assert beside["personalisation@10"] == pytest.approx(0)
    assert beside["gini@10"] == pytest.approx(20 / 30)  # a third of the items has equal shares, the others none
    assert "diversity@10" not in beside, "these items have no category"


def test_diversity_knows_categories(window: Window) -> None:
    column = pa.array([f"c{number % 2}" for number in range(30)])
    place = ITEMS.schema.get_field_index("category")
    sorted_items = Catalogue.from_items(ITEMS.set_column(place, "category", column))
    found = evaluate(
        {"popularity": popularity_scorer(sorted_items)},
        sorted_items,
        sequences=[window.sequences],
        holdout=[window.holdout],
        exclude="none",
    )
    odd = sum(NAMES.index(name) % 2 for name in POPULAR[:10])
    assert found.beside_accuracy("popularity")["diversity@10"] == pytest.approx(odd * (10 - odd) / 45)


def test_a_hidden_target_is_a_miss_where_the_protocol_says_so(tmp_path: Path) -> None:
    window = Window(tmp_path, {"a": "V:i01"}, {"a": "V:i01 V:i02"})
    scorers = {"popularity": popularity_scorer(CATALOGUE)}
    files = {"sequences": [window.sequences], "holdout": [window.holdout]}
    taken = evaluate(scorers, CATALOGUE, **files, exclude="seen")
    assert taken.ranks["popularity"][0] < MISS
    missed = evaluate(scorers, CATALOGUE, **files, exclude="seen", hidden_targets=True)
    assert missed.ranks["popularity"].tolist() == [MISS]


def test_an_empty_window_gives_zeros(tmp_path: Path) -> None:
    found = Window(tmp_path, {"a": "V:i01"}, {}).evaluate("none", popularity=popularity_scorer(CATALOGUE))
    assert found.num_users == 0
    assert found.means("popularity") == {"hr@10": 0.0, "ndcg@10": 0.0, "mrr": 0.0, "coverage@10": 0.0}
    assert found.intervals("popularity", seed=1) == {}


def test_a_catalogue_without_items_makes_every_target_a_miss(tmp_path: Path) -> None:
    empty = Catalogue.from_items(item_rows())
    window = Window(tmp_path, {"a": "V:i01"}, {"a": "V:i02"})
    found = evaluate(
        {"popularity": popularity_scorer(empty)},
        empty,
        sequences=[window.sequences],
        holdout=[window.holdout],
        exclude="none",
    )
    assert found.ranks["popularity"].tolist() == [MISS]
    assert found.unseen_target_share == 1


def test_newcomers_are_the_people_that_the_evaluation_leaves_out(window: Window) -> None:
    judged = window.evaluate("none", popularity=popularity_scorer(CATALOGUE))
    found = evaluation.evaluate_newcomers(
        {"popularity": popularity_scorer(CATALOGUE), "window": evaluation.window_scorer(CATALOGUE)},
        CATALOGUE,
        sequences=[window.sequences],
        holdout=[window.holdout],
    )
    new = [text.split()[0].split(":")[1] for user, text in window.ahead.items() if not window.histories.get(user)]
    assert found.num_users == judged.num_without_history == len(new)
    by_events = sorted(NAMES, key=lambda name: (-NAMES.index(name), name))  # i29 has most events of the window
    for name, order in (("popularity", POPULAR), ("window", by_events)):
        assert found.ranks[name].tolist() == [order.index(item) + 1.0 if item in order else MISS for item in new]


def test_the_platform_scorer_asks_where_people_were_last() -> None:
    by_platform = [[1, 5000 * (name == "i03"), 0, 0, 0, 0] for name in NAMES]
    place = ITEMS.schema.get_field_index("recent_by_platform")
    catalogue = Catalogue.from_items(ITEMS.set_column(place, "recent_by_platform", pa.array(by_platform)))
    rows = sequence_rows({"app": "V:i00", "unknown": "V:i02", "store": ""})
    place = rows.schema.get_field_index("last_platform")
    rows = rows.set_column(place, "last_platform", pa.array(["app", None, "store"]))
    histories = histories_from_arrow(rows, catalogue.vocabulary, max_length=100)
    scores = evaluation.platform_scorer(catalogue)(evaluation.People(rows, histories))
    ranked = [[NAMES[n] for n in np.argsort(-row)] for row in scores]
    assert ranked == [["i03", *(name for name in POPULAR if name != "i03")], POPULAR, POPULAR]


def test_newcomers_who_only_searched_are_known_by_their_platform(tmp_path: Path) -> None:
    window = Window(
        tmp_path, {"searched": "", "known": "V:i01"}, {"searched": "V:i02", "known": "V:i03", "new": "V:i04"}
    )
    asked: list[list[str | None]] = []

    def scorer(people: evaluation.People) -> NDArray[np.float32]:
        asked.append(people.rows.column("last_platform").to_pylist())
        return CATALOGUE.popularity.scores(len(people.histories))

    evaluation.evaluate_newcomers({"it": scorer}, CATALOGUE, sequences=[window.sequences], holdout=[window.holdout])
    assert asked == [["web", None]]


def test_the_category_scorer_puts_touched_categories_first() -> None:
    words = pa.array([("tea", "cups", None)[n % 3] for n in range(30)])
    catalogue = Catalogue.from_items(ITEMS.set_column(ITEMS.schema.get_field_index("category"), "category", words))
    rows = sequence_rows({"a": "V:i00", "b": "V:i02", "c": ""})
    histories = histories_from_arrow(rows, catalogue.vocabulary, max_length=100)
    scores = evaluation.category_scorer(catalogue)(evaluation.People(rows, histories))
    ranked = [[NAMES[n] for n in np.argsort(-row)] for row in scores]
    tea = [name for name in POPULAR if NAMES.index(name) % 3 == 0]
    assert ranked == [tea + [name for name in POPULAR if name not in tea], POPULAR, POPULAR]
