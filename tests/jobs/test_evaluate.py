"""Nights of decisions on real models in a real registry."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.jobs import night

from nightjar.contracts import PROMOTIONS, BadInput
from nightjar.stores.home import Home
from nightjar.stores.lake import Lake
from nightjar.stores.ledgers import read_rows
from nightjar.stores.tracking import ModelVersion, Tracking

evaluate = night.module("evaluate")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, ModelVersion]]:
    """A home whose window is filled and whose registry holds a good, a fresh and a too knowing model."""
    folder = tmp_path_factory.mktemp("registry")
    home = Home(folder / "home")
    past, ahead = night.walks(60, seed=1)
    night.fill(Lake(home.lake), past, ahead)
    versions = {
        "good": night.register(home, folder / "good", past, steps=80),
        "fresh": night.register(home, folder / "fresh", past, steps=0),
        "knowing": night.register(home, folder / "knowing", past, steps=1, as_of=night.DAY),
    }
    return home.root, versions


@pytest.fixture
def stage(registry: tuple[Path, dict[str, ModelVersion]], tmp_path: Path) -> Stage:
    root, versions = registry
    return Stage(Home(root), versions, tmp_path)


class Stage:
    """The registry without champion and ledger, and the job."""

    def __init__(self, home: Home, versions: dict[str, ModelVersion], scratch: Path) -> None:
        self.home, self.versions, self.tracking = home, versions, Tracking(home, night.SHOP)
        client = self.tracking._client()
        if self.tracking.champion() is not None:
            client.delete_registered_model_alias(self.tracking.name, "champion")
        home.result(night.SHOP, night.DAY, "train").unlink(missing_ok=True)
        # A snapshot beyond that of the window holds a ledger of an earlier test.
        for snapshot in sorted((home.lake / night.SHOP / "_snapshots").glob("*.json"))[1:]:
            snapshot.unlink()

    def run(self, *sets: str) -> dict[str, Any]:
        args = argparse.Namespace(sequences=night.NIGHT)
        counts: dict[str, Any] = evaluate.main(args, night.job(self.home, "evaluate", *sets))
        return counts

    def candidate(self, name: str | None, *, status: str = "done") -> None:
        night.trained(self.home, self.versions[name] if name else None, status=status)

    def ledger(self) -> list[dict[str, Any]]:
        return read_rows(Lake(self.home.lake), PROMOTIONS, night.partition(PROMOTIONS))

    def champion(self) -> str | None:
        found = self.tracking.champion()
        names = {version.version: name for name, version in self.versions.items()}
        return found and names[found.version]


def test_a_good_candidate_becomes_champion(stage: Stage) -> None:
    stage.candidate("good")
    counts = stage.run()
    assert stage.champion() == "good"
    assert counts["decision"] == "promoted"
    assert counts["rows_out"] == 60
    [row] = stage.ledger()
    assert (row["candidate_version"], row["champion_version"]) == (stage.versions["good"].version, None)
    metrics = json.loads(row["metrics"])
    baselines = {"popularity", "markov", "cooccurrence", "item-knn"}
    assert set(metrics["scorers"]) == {"candidate", *baselines}
    # People walk the ring: what came next before comes next again.
    assert metrics["scorers"]["markov"]["hr@10"] == 1.0
    assert metrics["scorers"]["candidate"]["ndcg@10"] > 0.8 > 0.4 > metrics["scorers"]["popularity"]["ndcg@10"]
    low, mean = (
        metrics["candidate_minus"]["popularity"]["ndcg@10"][1],
        metrics["candidate_minus"]["popularity"]["ndcg@10"][0],
    )
    assert 0.2 < low < mean
    assert json.loads(row["rule"])["must_beat"] == ["popularity"]
    logged = stage.tracking._client().get_run(stage.versions["good"].run_id).data.metrics
    assert logged["holdout/ndcg_10"] == pytest.approx(counts["metrics"]["candidate"]["ndcg@10"], abs=1e-6)


def test_a_rerun_changes_nothing(stage: Stage) -> None:
    stage.candidate("good")
    first, rows = stage.run(), stage.ledger()
    again = stage.run()
    assert again == first
    assert stage.ledger() == rows
    stage.candidate(None)  # training on a re-run may find the new champion fresh enough
    assert stage.run() == first
    assert stage.ledger() == rows
    assert stage.champion() == "good"


def test_a_rerun_does_not_undo_a_rollback(stage: Stage) -> None:
    stage.candidate("good")
    stage.run()
    stage.tracking.promote(stage.versions["fresh"])  # by hand
    stage.run()
    assert stage.champion() == "fresh"


def test_a_promotion_that_was_cut_short_is_carried_out(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.candidate("good")
    with monkeypatch.context() as context:
        context.setattr(Tracking, "promote", _killed)
        with pytest.raises(KeyboardInterrupt):
            stage.run()
    assert stage.champion() is None
    [row] = stage.ledger()
    assert stage.run()["decision"] == "promoted"
    assert stage.champion() == "good"
    assert stage.ledger() == [row]


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_worse_candidate_leaves_the_champion(stage: Stage) -> None:
    stage.tracking.promote(stage.versions["good"])
    stage.candidate("fresh")
    counts = stage.run()
    assert stage.champion() == "good"
    assert counts["decision"] == "kept"
    assert "needed against the champion's" in counts["reason"]
    assert set(counts["metrics"]) == {"candidate", "champion", "popularity", "markov", "cooccurrence", "item-knn"}


@pytest.mark.parametrize("status", [None, "failed"])
def test_without_a_candidate_the_champion_is_measured_and_stays(stage: Stage, status: str | None) -> None:
    stage.tracking.promote(stage.versions["good"])
    if status:
        stage.candidate("fresh", status=status)
    counts = stage.run()
    assert counts["decision"] == "none"
    assert counts["metrics"]["champion"]["ndcg@10"] > 0.8
    assert stage.run() == counts
    assert len(stage.ledger()) == 1
    assert stage.champion() == "good"


def test_the_first_night_without_anything(stage: Stage) -> None:
    counts = stage.run()
    assert (counts["decision"], counts["candidate_version"], counts["champion_version"]) == ("none", None, None)
    assert stage.champion() is None


def test_a_later_candidate_of_the_same_night_gets_its_own_row(stage: Stage) -> None:
    stage.candidate("fresh")
    stage.run("promotion.min_users=1000")
    stage.candidate("good")
    assert stage.run()["decision"] == "promoted"
    assert sorted(row["decision"] for row in stage.ledger()) == ["kept", "promoted"]


def test_a_candidate_that_knows_the_window_is_refused(stage: Stage) -> None:
    stage.candidate("knowing")
    with pytest.raises(BadInput, match="trained on data up to 2001-01-15, the window begins after 2001-01-12"):
        stage.run()
    assert stage.ledger() == []
    assert stage.champion() is None


def test_a_missing_window_says_what_to_do(stage: Stage, tmp_path: Path) -> None:
    shutil.copytree(stage.home.mlflow, tmp_path / "mlflow")
    empty = Stage(Home(tmp_path), stage.versions, tmp_path)
    with pytest.raises(BadInput, match=r"no partition synthetic/sequences/dt=2001-01-12.*\n  next: make nightly"):
        empty.run()
