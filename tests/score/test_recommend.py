"""Recommendations of a real model against a plain definition, person by person."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from tests.score.small_shop import KINDS, MODEL, item_rows, night, random_histories, sequence_rows

from nightjar.contracts import RECOMMENDATIONS
from nightjar.contracts.render import arrow_schema
from nightjar.learn.batch import Batch
from nightjar.learn.checkpoint import load_model
from nightjar.score.catalogue import Catalogue
from nightjar.score.recommend import Champion, Recommender, ScoringTask

Row = dict[str, object]

#: 30 items: every fifth is silent for long, every seventh is unknown to the model.
NAMES = [f"i{number:02d}" for number in range(30)]
ITEMS = item_rows(*((name, (7 * n) % 11, 50 + n, 45 if n % 5 == 0 else 3) for n, name in enumerate(NAMES)))
AVAILABLE = {name for n, name in enumerate(NAMES) if n % 5}
KNOWN = [name for n, name in enumerate(NAMES) if n % 7][::-1]  # the model counts in another order
POPULAR = sorted(AVAILABLE, key=lambda name: (-((7 * NAMES.index(name)) % 11), -NAMES.index(name)))


def lists(recommender: Recommender, *batches: pa.RecordBatch) -> dict[str, list[Row]]:
    out: dict[str, list[Row]] = {}
    for batch in recommender.recommend(batches):
        assert batch.schema == arrow_schema(RECOMMENDATIONS)
        batch.validate(full=True)
        for row in batch.to_pylist():
            out.setdefault(row["user_id"], []).append(row)
    return out


def served(champion: Champion | None, histories: dict[str, str], **changes: object) -> dict[str, list[Row]]:
    recommender = Recommender(night(**changes), Catalogue.from_items(ITEMS), champion)
    return lists(recommender, sequence_rows(histories))


def items(rows: list[Row]) -> list[object]:
    return [row["item_id"] for row in rows]


def model_scores(champion: Champion, text: str) -> dict[str, float]:
    """Scores of the model's items for one history, by the model's own methods, one person at a time."""
    model, _, vocabulary = load_model(champion.folder)
    entries = [
        (vocabulary.items.index(item) + 1, KINDS[kind].code)
        for kind, item in (entry.split(":") for entry in text.split())
        if item in vocabulary.items
    ]
    entries = entries[-MODEL.max_length :]
    columns = [torch.tensor([column]) for column in zip(*entries, strict=True)]
    with torch.no_grad():
        state = model.encode(Batch(columns[0], columns[1], columns[0] * 0, torch.tensor([len(entries)])))[0, -1]
        scores = (model.item_table() @ state).double().tolist()
    return dict(zip(vocabulary.items, scores[1:], strict=True))


@pytest.mark.parametrize("name", ["sasrec", "gru"])
@pytest.mark.parametrize("exclude", ["none", "seen", "purchased"])
def test_lists_equal_their_definition(champion: Callable[..., Champion], exclude: str, name: str) -> None:
    model = champion(KNOWN, name=name)
    histories = random_histories(40, NAMES, seed=3)
    found = served(model, histories, exclude=exclude)
    assert list(found) == list(histories), "every person once, in the order they come"
    for user, text in histories.items():
        entries = [entry.split(":") for entry in text.split()]
        hidden = {item for kind, item in entries if exclude == "seen" or (exclude == "purchased" and kind == "P")}
        rows = found[user]
        assert [row["rank"] for row in rows] == [1, 2, 3, 4, 5]
        if not {item for _, item in entries} & set(KNOWN):
            assert items(rows) == [item for item in POPULAR if item not in hidden][:5]
            assert {row["strategy"] for row in rows} == {"popular"}
            continue
        scores = model_scores(model, text)
        allowed = (AVAILABLE & set(KNOWN)) - hidden
        assert items(rows) == sorted(allowed, key=lambda item: (-scores[item], item))[:5]
        np.testing.assert_allclose([row["score"] for row in rows], [scores[str(i)] for i in items(rows)], atol=2e-6)
        assert {row["evidence_item_id"] for row in rows} <= {item for _, item in entries} & set(KNOWN)


def test_a_row_is_complete(champion: Callable[..., Champion]) -> None:
    row = served(champion(KNOWN), {"00000000000000aa": "P:i01"})["00000000000000aa"][0]
    score = row.pop("score")
    item = row.pop("item_id")
    assert item in AVAILABLE
    assert score == round(float(str(score)), 6)
    assert row == {
        "row_key": "synthetic|2001-01-15|home|00000000000000aa|1",
        "shop": "synthetic",
        "dt": night().day,
        "surface": "home",
        "user_id": "00000000000000aa",
        "rank": 1,
        "strategy": "model",
        "reason_code": "because_bought",
        "evidence_item_id": "i01",
        "evidence_2_item_id": None,
        "evidence_3_item_id": None,
        "rule": None,
        "model_name": "nightjar_synthetic",
        "model_version": "3",
    }


def test_people_without_usable_history_get_what_is_popular(champion: Callable[..., Champion]) -> None:
    found = served(champion(KNOWN), {"nobody": "", "unknown": "V:i00 P:i14 V:gone"})
    assert POPULAR.index("i14") < 5, "or the exclusion below shows nothing"
    assert items(found["nobody"]) == POPULAR[:5]
    assert items(found["unknown"]) == [item for item in POPULAR if item != "i14"][:5]
    first = found["nobody"][0]
    assert (first["strategy"], first["reason_code"], first["evidence_item_id"]) == ("popular", "popular_now", None)
    assert (first["model_name"], first["model_version"]) == ("popularity", "2001-01-15")
    assert [row["score"] for row in found["nobody"]] == [10, 10, 9, 9, 9]


def test_who_was_last_in_the_app_gets_what_is_popular_there(champion: Callable[..., Champion]) -> None:
    """The app's events are all of the five least popular items; held-out people are shown the shop's, as ever."""
    loved = POPULAR[-5:]
    by_platform = [
        [ITEMS["num_recent"][n].as_py(), 4000 if name in loved else 0, 0, 0, 0, 0] for n, name in enumerate(NAMES)
    ]
    place = ITEMS.schema.get_field_index("recent_by_platform")
    catalogue = Catalogue.from_items(ITEMS.set_column(place, "recent_by_platform", pa.array(by_platform)))
    rows = sequence_rows({"app": "", "web": "", "known": "V:i01"})
    place = rows.schema.get_field_index("last_platform")
    rows = rows.set_column(place, "last_platform", pa.array(["app", None, "app"]))

    def served_with(**changes: object) -> dict[str, list[Row]]:
        return lists(Recommender(night(**changes), catalogue, champion(KNOWN)), rows)

    found = served_with()
    assert set(items(found["app"])) == set(loved)
    assert {(row["strategy"], row["reason_code"]) for row in found["app"]} == {("platform", "popular_on_platform")}
    assert items(found["web"]) == POPULAR[:5]
    assert {row["strategy"] for row in found["web"]} == {"popular"}
    assert {row["strategy"] for row in found["known"]} == {"model"}
    drawn = served_with(held_out_share=1.0)["known"]
    assert items(drawn) == POPULAR[:5]
    assert {row["strategy"] for row in drawn} == {"held_out"}


def test_without_a_champion_everybody_gets_what_is_popular() -> None:
    found = served(None, random_histories(20, NAMES, seed=5), exclude="none")
    assert {tuple(items(rows)) for rows in found.values()} == {tuple(POPULAR[:5])}
    assert {row["model_name"] for rows in found.values() for row in rows} == {"popularity"}


def test_short_lists_are_filled_up_by_the_fallback(champion: Callable[..., Champion]) -> None:
    rows = served(champion(["i01", "i02", "i03"]), {"u": "P:i02 V:i01"})["u"]
    by_model, filled = rows[:2], rows[2:]
    assert {row["item_id"] for row in by_model} == {"i01", "i03"}
    assert [row["strategy"] for row in rows] == ["model"] * 2 + ["popular"] * 3
    assert items(filled) == [item for item in POPULAR if item not in {"i01", "i02", "i03"}][:3]
    assert all(row["evidence_item_id"] is None and row["reason_code"] == "popular_now" for row in filled)
    assert all(float(str(a["score"])) > float(str(b["score"])) for a, b in pairwise(rows))


def test_a_list_is_short_only_when_nothing_is_left() -> None:
    everything_but_two = " ".join(f"P:{item}" for item in POPULAR[2:])
    found = served(None, {"u": everything_but_two, "all": " ".join(f"P:{item}" for item in NAMES)})
    assert items(found["u"]) == POPULAR[:2]
    assert "all" not in found


def test_an_empty_catalogue_recommends_nothing(champion: Callable[..., Champion]) -> None:
    recommender = Recommender(night(), Catalogue.from_items(item_rows()), champion(KNOWN))
    assert lists(recommender, sequence_rows({"u": "V:i01"})) == {}


def test_batches_change_nothing(champion: Callable[..., Champion]) -> None:
    model, histories = champion(KNOWN), random_histories(50, NAMES, seed=8)
    whole = served(model, histories, batch_users=1000)
    rows = sequence_rows(histories)
    recommender = Recommender(night(batch_users=3), Catalogue.from_items(ITEMS), model)
    pieces = lists(recommender, rows.slice(0, 20), rows.slice(20, 0), rows.slice(20))
    assert list(pieces) == list(whole)
    for user, rows_of in whole.items():  # the last digit may differ: products are summed in another order
        scores = [[row.pop("score") for row in some] for some in (pieces[user], rows_of)]
        np.testing.assert_allclose(scores[0], scores[1], atol=2e-6)
        assert pieces[user] == rows_of


def test_a_task_reads_its_files_itself(champion: Callable[..., Champion], tmp_path: Path) -> None:
    model, histories = champion(KNOWN), random_histories(10, NAMES, seed=9)
    pq.write_table(ITEMS, tmp_path / "items.parquet")
    task = ScoringTask(night(), (str(tmp_path / "items.parquet"),), model)
    threads = torch.get_num_threads()
    try:
        rows = [row for batch in task([sequence_rows(histories)]) for row in batch.to_pylist()]
    finally:
        torch.set_num_threads(threads)
    assert rows == [row for rows in served(model, histories).values() for row in rows]
