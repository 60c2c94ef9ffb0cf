"""What a night on servers is compared with: the same publication in both databases reads the same, another does not."""

from __future__ import annotations

import json
from pathlib import Path

from tests.ops.whole_nights import same_words, server_contents, warehouse_contents
from tests.stores import nights, postgres_server

from nightjar.stores.home import Home
from nightjar.stores.warehouse import DuckDbFile, Postgres


def test_a_night_reads_the_same_in_both_databases(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.root.mkdir()
    folders = [tmp_path / name for name in ("file", "server")]
    for folder in folders:
        folder.mkdir()
    with postgres_server.running("fsync=off") as server:
        uri = server.uri
        for warehouse, folder in zip((DuckDbFile(home.warehouse), Postgres(uri)), folders, strict=True):
            nights.put(warehouse, nights.night(folder))
        in_file, in_server = same_words(warehouse_contents(home)), same_words(server_contents(uri))
    assert in_server.keys() == in_file.keys() >= {"recommendations", "v_recommendations_current", "crm_users"}
    assert [name for name in in_file if in_server[name] != in_file[name]] == ["warehouse_schema"]
    assert all(in_file[name] for name in ("recommendations", "crm_users", "publish_log"))


def test_one_other_row_is_seen() -> None:
    first, second = ({"items": ['{"id": 1}', f'{{"id": {number}}}']} for number in (2, 3))
    assert same_words(first) != same_words(second)
    one, other = ({"items": [f'{{"id": 1, "publish_id": "{name}"}}']} for name in "ab")
    assert same_words(one) == same_words(other), "a publication's name is no difference"
    in_file, in_server = (
        {"crm_users": [json.dumps({"payload": text})]} for text in ('{"price":42.0}', '{"price": 42}')
    )
    assert same_words(in_file) == same_words(in_server), "JSON has one kind of number"
