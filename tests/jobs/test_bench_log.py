"""The benchmarks' log: every row promised, on its day, the same again, with the hot key that was asked for."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from jobs.bench import log
from jobs.bench.log import Shape, chunks, write_log

SIZE = 30_000


def table(shape: Shape) -> pa.Table:
    return pa.concat_tables([rows for _, rows in chunks(shape)])


@pytest.fixture(params=[1_000_000, 1_700], ids=["a chunk a day", "three chunks a day"])
def chunk_events(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(log, "_CHUNK_EVENTS", request.param)
    return int(request.param)


def test_every_event_is_there_on_its_day_and_in_order(chunk_events: int) -> None:
    found = list(chunks(Shape(SIZE)))
    assert sum(rows.num_rows for _, rows in found) == SIZE
    assert max(rows.num_rows for _, rows in found) < 1.2 * max(chunk_events, SIZE / 7 / 3)
    assert [day for day, _ in found] == sorted(day for day, _ in found)
    assert {day for day, _ in found} == {date(2001, 1, 15) + timedelta(days=number) for number in range(7)}
    for day, rows in found:
        instants = rows.column("event_ts").to_numpy()
        assert set(instants.astype("datetime64[D]").astype(str)) == {str(day)}
        assert np.all(np.diff(instants) >= np.timedelta64(0))


def test_visits_go_on_after_midnight(chunk_events: int) -> None:
    rows = table(Shape(SIZE))
    by_user = rows.sort_by([("user_id", "ascending"), ("event_ts", "ascending")])
    user, instant = (by_user.column(name).to_numpy() for name in ("user_id", "event_ts"))
    same = (np.diff(user) == 0) & (np.diff(instant) < np.timedelta64(5, "m"))
    overnight = same & (np.diff(instant.astype("datetime64[D]")) > np.timedelta64(0))
    assert overnight.sum() > 5


def test_users_are_twenty_events_each_and_unequal() -> None:
    users = np.bincount(table(Shape(SIZE)).column("user_id").to_numpy())
    assert len(users) == SIZE // 20 + 1
    busiest = np.sort(users)[::-1].cumsum() / SIZE
    assert 0.25 < busiest[len(users) // 10] < 0.5  # 32 % by the definition, and visits are few


def test_the_same_shape_gives_the_same_rows() -> None:
    assert table(Shape(SIZE)).equals(table(Shape(SIZE)))
    assert not table(Shape(SIZE)).equals(table(Shape(SIZE, num_users=7)))


def test_a_hot_user_takes_a_quarter_of_a_small_log_and_a_million_of_a_large_one() -> None:
    shape = Shape(SIZE, skew="user")
    users = np.bincount(table(shape).column("user_id").to_numpy())
    assert users.max() / SIZE == pytest.approx(0.25, abs=0.02) == shape.hot_share
    assert Shape(20_000_000, skew="user").hot_share * 20_000_000 == 1_000_000


def test_a_hot_item_takes_half_of_the_views() -> None:
    shape = Shape(SIZE, skew="item")
    rows = table(shape)
    items, is_view = rows.column("item_id").to_numpy(), rows.column("kind").to_numpy() == "view"
    assert (items[is_view] == 1).mean() == pytest.approx(0.54, abs=0.03)  # and 8 % of the other half by its rank
    assert (items[~is_view] == 1).mean() < 0.15
    assert shape.hot_share == pytest.approx(0.45)


def test_a_log_is_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "_drawn", interrupted := _Interrupted(log._drawn))
    with pytest.raises(KeyboardInterrupt):
        write_log(tmp_path, Shape(SIZE))
    assert not (tmp_path / Shape(SIZE).name).exists()
    monkeypatch.setattr(log, "_drawn", interrupted.drawn)
    folder = write_log(tmp_path, Shape(SIZE))
    assert [path.stem for path in sorted(folder.iterdir())] == [f"2001-01-{day}" for day in range(15, 22)]
    assert pq.read_table(folder).equals(table(Shape(SIZE)))
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert write_log(tmp_path, Shape(SIZE)) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


class _Interrupted:
    """Somebody presses Ctrl-C on the third day."""

    def __init__(self, drawn: object) -> None:
        self.drawn = drawn

    def __call__(self, shape: Shape, part: log.Slice, item_shares: np.ndarray) -> log.Events:
        if part.day == 2:
            raise KeyboardInterrupt
        return self.drawn(shape, part, item_shares)
