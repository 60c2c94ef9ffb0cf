"""Records as the tracker's JSON lines, one object a line, without line ends.

Built from prepared fragments: `json.dumps` on a nested dictionary takes three times as long, and
this is where a simulated night spends its time.
"""

from __future__ import annotations

import numpy as np

from nightjar.simulate import clock
from nightjar.simulate.bots import AGENT_OFFSET
from nightjar.simulate.catalogue import Catalogue
from nightjar.simulate.noise import Bits, Ints
from nightjar.simulate.people import IOS, MINI_PROGRAM, PLATFORMS, WEB
from nightjar.simulate.records import SURFACES, TYPE_TEXTS, Records

_BROWSERS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Firefox/{}.0",
    "Mozilla/5.0 (X11; Linux x86_64) Chrome/{}.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_1) Version/{}.1 Safari/605.1",
)
_BOTS = ("ExampleBot/{}.1 (+https://crawler.example/about)", "PriceSpider/{}.0", "python-requests/2.{}")


def user_id(person: int) -> str:
    return f"u{person:06d}"


def device_id(device: int) -> str:
    return f"d{device >> 16:012x}"


def order_id(order: int) -> str:
    return f"o{order:016x}"


def address_id(address: int) -> str:
    return f"a{address >> 32:08x}"


def campaign_id(code: int) -> str:
    """Both arms see a banner: the coupon's or, for control, one for a brand."""
    return f"{'coupon' if code % 2 else 'brand'}-{code // 2:02d}"


def render(records: Records, catalogue: Catalogue) -> list[str]:
    """One JSON text per record, in the records' order."""
    columns = (
        _ids(records.id_high, records.id_low),
        [TYPE_TEXTS[code] for code in records.type.tolist()],
        _times(records.ts, records.platform),
        clock.utc_texts(records.received),
        _actors(records),
        _clients(records),
        _pages(records, catalogue),
        _products(records, catalogue),
        _orders(records),
    )
    return [
        f'{{"id":"{uuid}","type":"{kind}","ts":{ts},"received":"{received}",{actor},{client},{page},{product},{order}}}'
        for uuid, kind, ts, received, actor, client, page, product, order in zip(*columns, strict=True)
    ]


def _ids(high: Bits, low: Bits) -> list[str]:
    text = np.stack([high, low], axis=1).astype(">u8").tobytes().hex()
    starts = range(0, 32 * len(high), 32)
    names = [text[start : start + 32] for start in starts]
    return [f"{name[:8]}-{name[8:12]}-{name[12:16]}-{name[16:20]}-{name[20:]}" for name in names]


def _times(ts: Ints, platform: Ints) -> list[str]:
    """Browsers send local ISO-8601, apps send epoch milliseconds, the mini program sends them as text."""
    texts = [f'"{text}"' for text in clock.local_texts(ts)]
    numbers, platforms = ts.tolist(), platform.tolist()
    for place in np.flatnonzero(platform != WEB).tolist():
        texts[place] = f'"{numbers[place]}"' if platforms[place] == MINI_PROGRAM else str(numbers[place])
    return texts


def _actors(records: Records) -> list[str]:
    persons, devices = records.person.tolist(), (records.device >> np.uint64(16)).tolist()
    return [
        f'"actor":{{"user_id":"u{person:06d}","device_id":"d{device:012x}"}}'
        if person >= 0
        else f'"actor":{{"user_id":null,"device_id":"d{device:012x}"}}'
        for person, device in zip(persons, devices, strict=True)
    ]


def _clients(records: Records) -> list[str]:
    pairs, which = np.unique(records.platform + 4 * records.agent, return_inverse=True)
    texts = [
        f'"client":{{"platform":"{PLATFORMS[pair % 4]}","user_agent":"{_agent(pair // 4, pair % 4)}"}}'
        for pair in pairs.tolist()
    ]
    return [texts[place] for place in which.tolist()]


def _agent(agent: int, platform: int) -> str:
    if agent >= AGENT_OFFSET:
        return _BOTS[agent // 2 % 3].format(agent % 9)
    if platform == WEB:
        return _BROWSERS[agent % 3].format(100 + agent % 17)
    if platform == MINI_PROGRAM:
        return f"MiniProgram/8.{agent % 20}"
    return f"ShopApp/5.{agent % 12} ({'iOS 17' if platform == IOS else 'Android 14'})"


def _pages(records: Records, catalogue: Catalogue) -> list[str]:
    queries = catalogue.queries
    typed = [queries[query] if query >= 0 else "null" for query in records.query.tolist()]
    columns = records.surface.tolist(), records.campaign.tolist(), typed
    return [
        f'"page":{{"surface":"{SURFACES[surface]}","campaign":{_campaign(campaign)},"q":{query}}}'
        for surface, campaign, query in zip(*columns, strict=True)
    ]


def _campaign(code: int) -> str:
    return f'"{campaign_id(code)}"' if code >= 0 else "null"


def _products(records: Records, catalogue: Catalogue) -> list[str]:
    fragments = catalogue.fragments
    columns = records.item.tolist(), records.price.tolist(), records.quantity.tolist()
    return [
        f'"product":{{{fragments[item]},"price":{price},"qty":{quantity}}}' if item >= 0 else '"product":null'
        for item, price, quantity in zip(*columns, strict=True)
    ]


def _orders(records: Records) -> list[str]:
    columns = records.order.tolist(), records.address.tolist()
    return [
        f'"order":{{"no":"{order_id(order)}","ship_to":"{address_id(address)}"}}' if order else '"order":null'
        for order, address in zip(*columns, strict=True)
    ]
