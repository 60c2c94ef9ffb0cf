from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
from tests.score.small_shop import DAY_END, item_rows

from nightjar.contracts import Platform
from nightjar.score.catalogue import Catalogue


def test_positions_follow_item_ids() -> None:
    catalogue = Catalogue.from_items(item_rows(("b", 1, 10, 1), ("a", 2, 20, 2), ("Z", 3, 30, 3)))
    assert catalogue.item_ids.to_pylist() == ["Z", "a", "b"]
    assert catalogue.num_recent.tolist() == [3, 2, 1]
    assert catalogue.num_events.tolist() == [30, 20, 10]


def test_popularity_of_the_catalogue() -> None:
    catalogue = Catalogue.from_items(item_rows(("a", 2, 20, 1), ("b", 5, 5, 1), ("c", 2, 21, 1), ("d", 2, 20, 1)))
    assert [catalogue.item_ids[i].as_py() for i in catalogue.popularity.order] == ["b", "c", "a", "d"]


def test_little_said_on_a_platform_leans_on_the_shop() -> None:
    """Of 10,000 recent events 9 were in the app: a tenth of "b" there outweighs nothing, 600 of 1,000 do."""
    web, app = [6000, 3991, 0], [0, 0, 9]

    def order_in_the_app(times: int) -> list[str]:
        rows = item_rows(("a", 6000, 1, 1), ("b", 3991, 1, 1), ("c", 9, 1, 1))
        by_platform = [[one, other * times, 0, 0, 0, 0] for one, other in zip(web, app, strict=True)]
        place = rows.schema.get_field_index("recent_by_platform")
        catalogue = Catalogue.from_items(rows.set_column(place, "recent_by_platform", pa.array(by_platform)))
        popularity = catalogue.popularity_on(Platform.APP)
        assert popularity is not None
        assert catalogue.popularity_on(Platform.STORE) is None
        return [catalogue.item_ids[i].as_py() for i in popularity.order]

    # Expected of 1,000 events more: a 600, b 399.1, c 0.9.
    assert order_in_the_app(1) == ["a", "b", "c"]  # c 9.9
    assert order_in_the_app(45) == ["a", "c", "b"]  # c 405.9
    assert order_in_the_app(67) == ["c", "a", "b"]  # c 603.9


def test_the_only_platform_has_no_order_of_its_own() -> None:
    catalogue = Catalogue.from_items(item_rows(("a", 2, 20, 1), ("b", 5, 5, 1)))
    assert catalogue.popularity_on(Platform.WEB) is None


def test_a_catalogue_written_before_there_were_platforms() -> None:
    rows = item_rows(("a", 2, 20, 1), ("b", 5, 5, 1))
    place = rows.schema.get_field_index("recent_by_platform")
    without = rows.set_column(place, "recent_by_platform", pa.nulls(2, pa.list_(pa.int64())))
    assert Catalogue.from_items(without).recent_by_platform.tolist() == [[0] * 6] * 2


def test_items_are_available_up_to_and_including_the_last_instant() -> None:
    catalogue = Catalogue.from_items(item_rows(("a", 1, 1, 30), ("b", 1, 1, 31), ("c", 1, 1, 1)))
    assert catalogue.available(DAY_END, 30).tolist() == [True, False, True]
    assert catalogue.available(DAY_END + timedelta(microseconds=1), 30).tolist() == [False, False, True]
    assert catalogue.available(DAY_END, 0).tolist() == [True, True, True]


def test_the_shops_zone_moves_the_end_of_its_day() -> None:
    catalogue = Catalogue.from_items(item_rows(("a", 1, 1, 30)))
    later = datetime(2001, 1, 16, tzinfo=ZoneInfo("America/Sao_Paulo"))  # 02:00 UTC in that summer
    assert catalogue.available(later, 30).tolist() == [False]


def test_reading_files(tmp_path: Path) -> None:
    pq.write_table(item_rows(("b", 1, 1, 1)), tmp_path / "1.parquet")
    pq.write_table(item_rows(("a", 1, 1, 1)), tmp_path / "2.parquet")
    catalogue = Catalogue.read([tmp_path / "1.parquet", tmp_path / "2.parquet"])
    assert catalogue.item_ids.to_pylist() == ["a", "b"]


def test_no_files_no_items() -> None:
    catalogue = Catalogue.read([])
    assert catalogue.size == 0
    assert catalogue.available(DAY_END, 30).tolist() == []
    assert catalogue.popularity.order.tolist() == []
