"""Each poison spoils what it says and nothing else."""

from __future__ import annotations

import gzip
import json

import pytest

from nightjar.simulate.poison import POISONS

GOOD = [
    f'{{"id":"{number:08x}-0000","type":"page_view","actor":{{"user_id":"u{number:06d}","device_id":"d{number:012x}"}}}}'
    for number in range(20)
]


def spoilt(name: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in POISONS[name][0](GOOD)]


def test_null_ids_empties_half_of_the_actors() -> None:
    assert [record["actor"] == {"user_id": None, "device_id": None} for record in spoilt("null_ids")] == [
        False,
        True,
    ] * 10


def test_null_users_keeps_the_devices() -> None:
    actors = [record["actor"] for record in spoilt("null_users")]
    assert actors[1] == {"user_id": None, "device_id": "d000000000001"}
    assert actors[2] == {"user_id": "u000002", "device_id": "d000000000002"}


def test_volume_is_tenfold_without_duplicates() -> None:
    assert len({record["id"] for record in spoilt("volume")}) == 200


def test_new_kind_is_in_every_tenth_record() -> None:
    assert [record["type"] for record in spoilt("new_kind")].count("hologram_view") == 2


def test_empty_has_no_record() -> None:
    assert spoilt("empty") == []


def test_truncated_is_no_whole_gzip() -> None:
    whole = gzip.compress("\n".join(GOOD).encode())
    with pytest.raises(EOFError):
        gzip.decompress(POISONS["truncated"][1](whole))
