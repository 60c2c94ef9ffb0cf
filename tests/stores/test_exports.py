"""Files for CRM tools: whole, changed people only, in each tool's shape."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.stores import nights
from tests.stores.nights import DAY, LISTS, SHOP

from nightjar.contracts import BadInput
from nightjar.stores import exports
from nightjar.stores.exports import Exported, Person, export
from nightjar.stores.warehouse import DuckDbFile, Warehouse, publish, rollback

TOMORROW = nights.days(2)[1]
CHANGED = {person: items for person, items in LISTS.items() if person != "p-dee"} | {"p-ada": ("i2", "i1", "i3")}
PEOPLE = 4


def at(hour: int) -> Any:
    return nights.at(datetime(2001, 1, 20, hour, tzinfo=UTC))


@pytest.fixture
def first(warehouse: Warehouse, tmp_path: Path) -> Warehouse:
    publish(warehouse, nights.night(tmp_path / "first"), nights.conf(), now=at(1))
    return warehouse


def second(warehouse: Warehouse, folder: Path) -> None:
    """Ada's order changes, Dee is gone."""
    publish(warehouse, nights.night(folder / "second", CHANGED, day=TOMORROW), nights.conf(), now=at(2))


def lines(done: Exported, name: str) -> list[Any]:
    return [json.loads(line) for line in (Path(done.folder) / name).read_text(encoding="utf-8").splitlines()]


def written(warehouse: Warehouse, target: str, root: Path) -> Exported:
    done = export(warehouse, SHOP, target, root)
    assert done is not None
    return done


def test_first_everybody_then_who_changed_and_who_is_gone(first: Warehouse, tmp_path: Path) -> None:
    root = tmp_path / "exports"
    everybody = written(first, "braze", root)
    assert (everybody.num_changed, everybody.num_deleted, everybody.since) == (PEOPLE, 0, "")
    assert export(first, SHOP, "braze", root) is None
    second(first, tmp_path)
    news = written(first, "braze", root)
    assert (news.num_changed, news.num_deleted) == (1, 1)
    assert (news.since, news.until) == (everybody.until, "20010120T020000.000000Z")
    (ada,) = lines(news, "changed-00000.jsonl")
    assert ada["external_id"] == "ada"
    assert [item["item_id"] for item in ada["payload"]["nightjar_recommendations"]] == ["i2", "i1", "i3"]
    assert lines(news, "deleted-00000.jsonl") == [{"external_id": "dee", "payload": {"nightjar_recommendations": None}}]
    rollback(first, SHOP, DAY.isoformat(), now=at(3))
    back = written(first, "braze", root)
    assert {line["external_id"] for line in lines(back, "changed-00000.jsonl")} == {"ada", "dee"}


def test_the_manifest_names_every_file_with_its_hash(first: Warehouse, tmp_path: Path) -> None:
    done = written(first, "sfmc", tmp_path)
    folder = Path(done.folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert {file["name"] for file in manifest["files"]} | {"manifest.json"} == {path.name for path in folder.iterdir()}
    for file in manifest["files"]:
        content = (folder / file["name"]).read_bytes()
        assert (file["sha256"], file["bytes"]) == (hashlib.sha256(content).hexdigest(), len(content))
    assert sum(file["rows"] for file in manifest["files"]) == PEOPLE
    assert manifest["publish_id"] == nights.ask(first, "SELECT publish_id FROM publish_current")[0][0]


def test_hubspot_finds_contacts_by_external_id_and_clears_what_is_gone(first: Warehouse, tmp_path: Path) -> None:
    written(first, "hubspot", tmp_path)
    second(first, tmp_path)
    done = written(first, "hubspot", tmp_path)
    (body,) = lines(done, "changed-00000.jsonl")
    assert body == {
        "inputs": [
            {
                "idProperty": "external_id",
                "id": "ada",
                "properties": {
                    "nightjar_home_1": "i2",
                    "nightjar_home_2": "i1",
                    "nightjar_home_3": "i3",
                    "nightjar_changed_at": "2001-01-20T02:00:00.000Z",
                },
            }
        ]
    }
    (gone,) = lines(done, "deleted-00000.jsonl")[0]["inputs"]
    assert (gone["id"], gone["properties"]["nightjar_home_1"]) == ("dee", "")


def test_marketing_cloud_reads_one_wide_row_per_subscriber(first: Warehouse, tmp_path: Path) -> None:
    done = written(first, "sfmc", tmp_path)
    with (Path(done.folder) / "changed-00000.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["SubscriberKey"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"ada", "bob", "cy", "dee"}
    assert rows["bob"]["home_1_ItemId"] == "i2"
    assert (rows["bob"]["home_1_Title"], rows["bob"]["home_1_Price"]) == ("Title of i2", "2.5")
    assert rows["bob"]["ChangedAt"] == "2001-01-20 01:00:00"
    assert (Path(done.folder) / "changed-00000.csv").read_bytes().count(b"\r\n") == PEOPLE + 1


def test_klaviyo_takes_whole_requests_within_its_limits(first: Warehouse, tmp_path: Path) -> None:
    done = written(first, "klaviyo", tmp_path)
    body = json.loads((Path(done.folder) / "changed-00000.json").read_text())
    assert body["data"]["type"] == "profile-bulk-import-job"
    profiles = body["data"]["attributes"]["profiles"]["data"]
    assert [profile["attributes"]["external_id"] for profile in profiles] == ["ada", "bob", "cy", "dee"]
    assert len(profiles[0]["attributes"]["properties"]["nightjar_recommendations"]) == 3


def test_requests_are_cut_at_the_documented_sizes() -> None:
    def people(count: int, title: str) -> list[Person]:
        items = [{"surface": "home", "rank": 1, "item_id": "i1", "title": title, "price": 1.0}]
        return [Person(f"person-{number}", datetime(2001, 1, 20), items) for number in range(count)]

    sizes = [(len(content), rows) for _, content, rows in exports.klaviyo(people(10_001, "x"), [("home", 1)])]
    assert [rows for _, rows in sizes] == [10_000, 1]
    heavy = [(len(content), rows) for _, content, rows in exports.klaviyo(people(120, "ä" * 40_000), [("home", 1)])]
    assert sum(rows for _, rows in heavy) == 120
    assert max(size for size, _ in heavy) <= 5_000_000
    ((_, content, rows),) = exports.hubspot(people(250, "x"), [("home", 1)])
    assert rows == 250
    assert [len(json.loads(line)["inputs"]) for line in content.splitlines()] == [100, 100, 50]


def test_a_killed_export_leaves_nothing_that_looks_like_one(first: Warehouse, tmp_path: Path) -> None:
    if not isinstance(first, DuckDbFile):
        pytest.skip("the files are written alike")
    code = (
        "import os, signal, sys; from pathlib import Path; from nightjar.stores import exports;"
        "from nightjar.stores.warehouse import DuckDbFile;"
        "exports.write_json = lambda *_: os.kill(os.getpid(), signal.SIGKILL);"
        f"exports.export(DuckDbFile(Path(sys.argv[1])), '{SHOP}', 'braze', Path(sys.argv[2]))"
    )
    argv = [sys.executable, "-c", code, str(first.path), str(tmp_path / "exports")]
    killed = subprocess.run(argv, env=dict(os.environ), capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    folder = tmp_path / "exports" / SHOP / "braze"
    assert exports.latest(folder) == ""
    assert written(first, "braze", tmp_path / "exports").num_changed == PEOPLE
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "20010120T010000.000000Z"]


def test_an_unknown_target_and_an_empty_warehouse_are_named(warehouse: Warehouse, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there are braze, hubspot, klaviyo, sfmc"):
        export(warehouse, SHOP, "mailchimp", tmp_path)
    nights.put(warehouse, nights.night(tmp_path))
    with pytest.raises(BadInput, match="nothing of zoo is published"):
        export(warehouse, "zoo", "braze", tmp_path)
