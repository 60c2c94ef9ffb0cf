"""Drops: the same bytes whenever and however computed, sizes, dirt, funnels, days."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from nightjar.contracts import BadInput
from nightjar.settings import Simulate, load_conf, load_source
from nightjar.simulate import Shop, clock
from nightjar.simulate import shop as shop_module
from nightjar.simulate.visits import MAX_VIEWS

START = date(2001, 1, 15)

Record = dict[str, Any]


def small(**changes: Any) -> Simulate:
    base = {"num_people": 300, "num_items": 200, "start": START.isoformat(), "fraud_ring_people": 6}
    return load_conf().simulate.model_copy(update=base | changes)


def day(number: int) -> date:
    return START + timedelta(days=number)


def parsed(lines: list[str]) -> list[Record]:
    """Records that are JSON; truncated ones are left out."""
    records = []
    for line in lines:
        try:
            records.append(json.loads(line))
        except ValueError:
            continue
    return records


def clean(shop: Shop, number: int) -> list[Record]:
    """A day's records of a shop without dirt."""
    return [json.loads(line) for line in shop.drop(day(number))]


def instant(record: Record) -> datetime:
    ts = record["ts"]
    return datetime.fromisoformat(ts) if "T" in str(ts) else datetime.fromtimestamp(int(ts) / 1000, UTC)


@pytest.fixture(scope="module")
def spotless() -> Shop:
    """No dirt, no bots: what people do."""
    return Shop(small(duplicate_share=0.0, malformed_share=0.0, bot_share=0.0, late_share=0.0))


def test_a_day_computed_alone_equals_the_same_day_in_sequence() -> None:
    in_sequence = [list(Shop(small()).drop(day(number))) for number in range(12)]
    assert list(Shop(small()).drop(day(11))) == in_sequence[11]
    assert list(Shop(small()).drop(day(0))) == in_sequence[0]


def test_chunks_of_people_hold_the_same_records_whatever_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = sorted(Shop(small()).drop(day(9)))
    monkeypatch.setattr(shop_module, "PEOPLE_PER_CHUNK", 37)
    assert sorted(Shop(small()).drop(day(9))) == whole


def test_another_seed_is_another_shop() -> None:
    assert not set(Shop(small()).drop(day(3))) & set(Shop(small(seed=7)).drop(day(3)))


def test_records_are_proportional_to_people() -> None:
    def num_records(num_people: int) -> int:
        return len(list(Shop(small(num_people=num_people, bot_share=0.0)).drop(day(8))))

    assert 3.4 < num_records(8000) / num_records(2000) < 4.6


def test_a_day_before_the_first_names_the_next_command() -> None:
    with pytest.raises(BadInput, match="2001-01-14 is before the synthetic shop's first day 2001-01-15") as error:
        list(Shop(small()).drop(date(2001, 1, 14)))
    assert "choose a day from 2001-01-15 on" in error.value.next_command


def test_years_later_the_shop_is_alive() -> None:
    first, later = (
        sum(len(list(Shop(small()).drop(day(begin + number)))) for number in range(7)) for begin in (7, 1500)
    )
    assert 0.6 < later / first < 2.0


def test_shares_of_dirt_are_as_configured() -> None:
    conf = small(num_people=6000, bot_share=0.0)
    shop, counts = Shop(conf), Counter[str]()
    for number in range(8, 14):
        for chunk in shop.chunks(day(number)):
            counts.update(chunk.counts)
            assert len(chunk.lines) == sum(
                chunk.counts[sort] for sort in ("clean", "duplicates", "conflicts", "malformed")
            )
    share = {sort: count / counts["clean"] for sort, count in counts.items()}
    assert counts["clean"] > 70_000
    assert share["duplicates"] + share["conflicts"] == pytest.approx(conf.duplicate_share, rel=0.15)
    assert 0 < share["conflicts"] < 0.0006
    assert share["malformed"] == pytest.approx(conf.malformed_share, rel=0.3)
    assert share["late"] == pytest.approx(conf.late_share, rel=0.3)


def test_duplicates_are_the_same_bytes_and_conflicts_differ_in_price_only() -> None:
    conf = small(num_people=3000, duplicate_share=0.2, malformed_share=0.0, bot_share=0.0)
    by_id: dict[str, list[str]] = defaultdict(list)
    for line in Shop(conf).drop(day(8)):
        by_id[json.loads(line)["id"]].append(line)
    sent_twice = [lines for lines in by_id.values() if len(lines) == 2]
    conflicting = [[json.loads(line) for line in lines] for lines in sent_twice if lines[0] != lines[1]]
    assert max(map(len, by_id.values())) == 2
    assert 0 < len(conflicting) < 0.05 * len(sent_twice)
    for one, other in conflicting:
        assert abs(one["product"].pop("price") - other["product"].pop("price")) == pytest.approx(1.0, abs=0.02)
        assert one == other


def test_late_records_come_up_to_three_days_after_their_day() -> None:
    shop = Shop(small(num_people=3000, late_share=0.1, malformed_share=0.0, bot_share=0.0))
    days_late = Counter[int]()
    for number in range(8, 12):
        for record in clean(shop, number):
            days_late[(day(number) - instant(record).astimezone(clock.TIME_ZONE).date()).days] += 1
    assert set(days_late) == {0, 1, 2, 3}
    assert days_late[2] + days_late[3] > 0.04 * days_late.total()


def test_a_late_visit_is_complete_over_all_drops_and_no_record_comes_twice() -> None:
    shop = Shop(small(late_share=0.3, duplicate_share=0.0, malformed_share=0.0, bot_share=0.0))
    of_drops = [record["id"] for number in range(14) for record in clean(shop, number)]
    assert len(of_drops) == len(set(of_drops))
    in_time = Shop(small(late_share=0.0, duplicate_share=0.0, malformed_share=0.0, bot_share=0.0))
    # Lateness moves records between drops and changes nothing else: by day 13 all of days 0 to 9 are there.
    expected = {record["id"] for number in range(10) for record in clean(in_time, number)}
    assert expected <= set(of_drops)


def test_each_record_arrives_on_its_drop_s_day(spotless: Shop) -> None:
    for number in (0, 1, 9):
        for record in clean(spotless, number):
            received = datetime.fromisoformat(record["received"]).astimezone(clock.TIME_ZONE)
            assert received.date() == day(number)
            assert instant(record) <= received


def test_visits_cross_midnight(spotless: Shop) -> None:
    going_on = 0
    for number in range(12):
        evening = {r["actor"]["device_id"]: instant(r) for r in clean(spotless, number)}
        night = {r["actor"]["device_id"]: instant(r) for r in reversed(clean(spotless, number + 1))}
        gaps = [night[device] - evening[device] for device in evening.keys() & night.keys()]
        going_on += sum(gap < timedelta(minutes=10) for gap in gaps)
    assert going_on >= 2


def test_a_day_of_a_clock_change_stays_within_its_day() -> None:
    spring = Shop(small(start="2001-03-20", duplicate_share=0.0, malformed_share=0.0, bot_share=0.0, late_share=0.0))
    records = [json.loads(line) for line in spring.drop(date(2001, 3, 25))]
    offsets = {record["ts"][-6:] for record in records if "T" in str(record["ts"])}
    assert offsets == {"+01:00", "+02:00"}
    hours = {instant(record).astimezone(clock.TIME_ZONE).hour for record in records}
    assert 2 not in hours  # 02:00 to 02:59 did not exist that night
    assert {12, 20} <= hours


def test_visits_follow_a_daily_curve_with_an_evening_peak(spotless: Shop) -> None:
    by_hour = Counter(
        instant(r).astimezone(clock.TIME_ZONE).hour for number in range(14) for r in clean(spotless, number)
    )
    assert by_hour[20] > 5 * by_hour[4]


def test_funnels_run_from_view_to_cart_to_order(spotless: Shop) -> None:
    records = [record for number in range(10) for record in clean(spotless, number)]
    counts = Counter(record["type"] for record in records)
    assert counts["page_view"] > 3 * counts["add_to_cart"] > 3 * counts["order"] > 0
    assert {"search", "review", "refund", "remove_from_cart", "coupon_claim", "banner_view", "banner_click"} <= set(
        counts
    )
    carted = {
        (r["actor"]["device_id"], r["product"]["sku"]): instant(r)
        for r in reversed(records)
        if r["type"] == "add_to_cart"
    }
    bought = {(r["order"]["no"], r["product"]["sku"]): instant(r) for r in records if r["type"] == "order"}
    for record in records:
        if record["type"] == "order":
            assert record["actor"]["user_id"] is not None
            assert carted[record["actor"]["device_id"], record["product"]["sku"]] < instant(record)
        if record["type"] in ("refund", "review"):
            since = instant(record) - bought[record["order"]["no"], record["product"]["sku"]]
            assert timedelta(0) < since < timedelta(days=8)
        if record["type"] == "search":
            assert record["page"]["q"]
            assert record["product"] is None


def test_people_use_several_platforms_and_mostly_log_in(spotless: Shop) -> None:
    platforms: dict[str, set[str]] = defaultdict(set)
    anonymous = total = 0
    for number in range(14):
        for record in clean(spotless, number):
            total += 1
            anonymous += record["actor"]["user_id"] is None
            if record["actor"]["user_id"]:
                platforms[record["actor"]["user_id"]].add(record["client"]["platform"])
    assert {platform for some in platforms.values() for platform in some} == {"web", "ios", "android", "mini_program"}
    assert sum(len(some) > 1 for some in platforms.values()) > 0.25 * len(platforms)
    assert 0.03 < anonymous / total < 0.3


def test_bots_name_themselves_or_are_too_fast() -> None:
    conf = load_conf().clean
    shop = Shop(small(num_people=3000, bot_share=0.01, duplicate_share=0.0, malformed_share=0.0))
    by_device_hour, honest = Counter[tuple[str, int]](), 0
    for number in range(7):
        for chunk in shop.chunks(day(number)):
            if not chunk.counts["bots"]:
                continue
            for record in map(json.loads, chunk.lines):
                if any(sign in record["client"]["user_agent"] for sign in ("Bot", "Spider", "python-requests")):
                    honest += 1
                else:
                    by_device_hour[record["actor"]["device_id"], int(instant(record).timestamp()) // 3600] += 1
    assert honest > 500
    assert by_device_hour
    assert all(pages > conf.bot_events_per_hour for pages in by_device_hour.values())
    assert max(by_device_hour.values()) > MAX_VIEWS


def test_items_come_and_go_and_popularity_drifts(spotless: Shop) -> None:
    def views(begin: int) -> Counter[str]:
        return Counter(
            r["product"]["sku"] for n in range(begin, begin + 5) for r in clean(spotless, n) if r["type"] == "page_view"
        )

    early, late = views(0), views(120)
    assert len(set(late) - set(early)) >= 5
    top = {sku for sku, _ in early.most_common(20)}
    assert len(top - {sku for sku, _ in late.most_common(20)}) >= 5


def test_the_source_mapping_and_the_shop_share_a_time_zone() -> None:
    assert load_source("synthetic").time_zone == str(clock.TIME_ZONE)
