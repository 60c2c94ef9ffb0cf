"""A simulated shop with its fraud ring, as rows of `user_features` and `identity_links`, counted without Spark."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from datetime import date, timedelta
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from tests.predict.people import features, rows_of

from nightjar.contracts import IDENTITY_LINKS
from nightjar.settings import load_conf
from nightjar.simulate.shop import Shop

NUM_DAYS = 28
DAY = date(2001, 1, 15)


class Suspects(NamedTuple):
    """Everybody who logged in, and which of them are the ring's."""

    features: pa.Table
    links: pa.Table
    guilty_B: NDArray[np.int64]


def simulated(num_people: int, seed: int) -> Suspects:
    """What the log of some weeks says of people by login; shop ids stand for pseudonyms."""
    conf = load_conf(sets=[f"simulate.num_people={num_people}", f"simulate.seed={seed}", "simulate.malformed_share=0"])
    shop = Shop(conf.simulate)
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    items: defaultdict[str, set[str]] = defaultdict(set)
    bought: defaultdict[str, set[str]] = defaultdict(set)
    orders: defaultdict[str, set[str]] = defaultdict(set)
    devices: set[tuple[str, str]] = set()
    known: set[str] = set()
    for day in range(NUM_DAYS):
        for line in shop.drop(shop.first + timedelta(days=day)):
            row = json.loads(line)
            user = row["actor"]["user_id"]
            if user is None or row["id"] in known:
                continue
            known.add(row["id"])
            devices.add((row["actor"]["device_id"], user))
            kind, product, mine = row["type"], row["product"], counts[user]
            mine["events"] += 1
            mine[kind] += 1
            if product:
                items[user].add(product["sku"])
            if kind == "order":
                bought[user].add(product["sku"])
                orders[user].add(row["order"]["no"])
            if kind == "refund":
                mine["returned"] += float(product["price"]) * int(product["qty"])
    people = sorted(counts)
    columns = {
        "user_id": people,
        "num_events": [counts[user]["events"] for user in people],
        "num_purchases": [counts[user]["order"] for user in people],
        "num_returns": [counts[user]["refund"] for user in people],
        "num_coupons": [counts[user]["coupon_claim"] for user in people],
        "returned_value": [float(counts[user]["returned"]) for user in people],
        "num_orders": [len(orders[user]) for user in people],
        "num_items": [len(items[user]) for user in people],
        "num_items_bought": [len(bought[user]) for user in people],
    }
    ring = set(shop.truth.fraud_ring().user_ids)
    guilty_B = np.array([user in ring for user in people], np.int64)
    return Suspects(features(len(people), **columns), links(sorted(devices)), guilty_B)


def links(pairs: list[tuple[str, str]]) -> pa.Table:
    """Rows of `identity_links`: devices with logins."""
    columns = {"device_id": [device for device, _ in pairs], "user_id": [user for _, user in pairs]}
    return rows_of(IDENTITY_LINKS, len(pairs), {**columns, "dt": [DAY] * len(pairs)})
