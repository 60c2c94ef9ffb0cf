"""Settings and source mappings: what loads, what is refused, and what the refusal says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nightjar.contracts import BadInput, Kind
from nightjar.settings import Conf, Files, Source, load_conf, load_source, load_tune, repository

CONF = repository() / "conf"
MODELS = sorted((CONF / "models").glob("*.toml"))
SOURCES = sorted((CONF / "sources").glob("*.toml"))

ACME = """
doc = "A shop for tests."
format = "csv"
layout = "single"
time_zone = "Europe/Berlin"
[events]
event_id = "id"
event_ts = "ts"
kind = "what"
platform = "'web'"
user_id = "who"
[kinds]
looked = "view"
"""


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def refused(call: object, *words: str) -> None:
    """The error names each word and ends with a next command."""
    with pytest.raises(BadInput) as caught:
        call()  # type: ignore[operator]
    problem, mark, next_command = str(caught.value).rpartition("\n  next: ")
    assert mark
    assert next_command.strip()
    for word in words:
        assert word in problem, f"{word!r} not in {problem!r}"


# -- conf


def test_base_is_complete_and_every_key_of_it_is_known() -> None:
    conf = load_conf()
    assert isinstance(conf, Conf)
    assert conf.sessions.gap_minutes == 30
    assert conf.sequences.kinds == (Kind.VIEW, Kind.CART, Kind.PURCHASE)
    assert conf.dump()["sequences"]["kinds"] == ["view", "cart", "purchase"]
    with pytest.raises(ValueError, match="frozen"):
        conf.sessions.gap_minutes = 31  # type: ignore[misc]


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_every_model_file_loads_over_base(path: Path) -> None:
    conf = load_conf(files=[path])
    assert conf.model.name in path.stem
    assert conf.model.width % conf.model.num_heads == 0
    assert conf.sessions == load_conf().sessions


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_every_source_loads_and_resolves(path: Path) -> None:
    source = load_source(path.stem)
    assert source.name == path.stem
    assert source == load_source(str(path))
    load_conf(source=source)


def test_the_files_under_conf_are_those_that_are_tested() -> None:
    found = {path.relative_to(CONF) for path in CONF.rglob("*.toml")}
    others = {Path("base.toml"), Path("tune.toml"), Path("rules/example.toml"), Path("audit.toml")}  # read by others
    assert found == others | {path.relative_to(CONF) for path in (*MODELS, *SOURCES)}
    assert "train.learning_rate" in load_tune(CONF / "tune.toml").space


def test_later_differences_win(tmp_path: Path) -> None:
    first = write(tmp_path / "first.toml", "[train]\nepochs = 5\nseed = 7\n[score]\nk = 3\n")
    second = write(tmp_path / "second.toml", "[train]\nepochs = 6\n")
    source = Source.model_validate(
        {**load_source("synthetic").model_dump(), "settings": {"score.k": 4}, "gate": {"trailing_days": 9}}
    )
    conf = load_conf(files=[first, second], source=source, sets=["score.k=5", "train.seed=8", "train.seed=9"])
    assert (conf.train.epochs, conf.train.seed, conf.score.k, conf.gate.trailing_days) == (6, 9, 5, 9)
    assert conf.train.batch_users == load_conf().train.batch_users


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("train.learning_rate=3e-4", 0.0003),
        ("train.learning_rate = 1", 1.0),
        ("train.force=true", True),
        ("spark.master=local[3]", "local[3]"),  # no TOML: text as it stands
        ('spark.master="local[*]"', "local[*]"),
        ("spark.master=spark://a:7077?b=c", "spark://a:7077?b=c"),
        ('sequences.kinds=["view", "search"]', (Kind.VIEW, Kind.SEARCH)),
        ("promotion.must_beat=[]", ()),
        ("simulate.start='2001-01-15'", "2001-01-15"),
    ],
)
def test_set_reads_toml_values(assignment: str, expected: object) -> None:
    section, name = assignment.partition("=")[0].strip().split(".")
    assert getattr(getattr(load_conf(sets=[assignment]), section), name) == expected


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("train.epoch=3", ("--set", "train.epoch")),
        ("trian.epochs=3", ("--set", "trian.epochs")),
        ("epochs=3", ("--set", "epochs")),
        ("train.epochs", ("train.epochs", "no value")),
        ("=3", ("--set",)),
        ("train.epochs.more=3", ("train.epochs.more",)),
        ("train.epochs=0", ("train.epochs", "greater than or equal to 1")),
        ("train.epochs=3.0", ("train.epochs", "integer")),
        ("train.epochs='3'", ("train.epochs", "integer")),
        ("train.epochs=", ("train.epochs",)),
        ("train.force=1", ("train.force", "boolean")),
        ("gate.max_bot_share=1.5", ("gate.max_bot_share", "less than or equal to 1")),
        ("gate.max_bot_share=nan", ("gate.max_bot_share",)),
        ("model.dropout=1", ("model.dropout",)),
        ("sequences.kinds=[]", ("sequences.kinds", "at least one")),
        ('sequences.kinds=["looked"]', ("sequences.kinds",)),
        ("score.exclude=all", ("score.exclude", "seen")),
        ("clean.days_late_allowed=-1", ("clean.days_late_allowed",)),
    ],
)
def test_set_refuses(assignment: str, words: tuple[str, ...]) -> None:
    refused(lambda: load_conf(sets=[assignment]), *words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[train]\nepoch = 3\n", ("train.epoch",)),
        ("[trian]\nepochs = 3\n", ("trian",)),
        ("epochs = 3\n", ("epochs", "x.toml")),
        ("[train]\nepochs = \n", ("x.toml", "TOML")),
        ("[train]\nepochs = 1\nepochs = 2\n", ("x.toml", "TOML")),
        ("[train.epochs]\nmany = 3\n", ("train.epochs",)),
    ],
)
def test_files_refuse(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    path = write(tmp_path / "x.toml", text)
    refused(lambda: load_conf(files=[path]), *words)


def test_unreadable_files(tmp_path: Path) -> None:
    refused(lambda: load_conf(files=[tmp_path / "absent.toml"]), "absent.toml")
    refused(lambda: load_conf(files=[tmp_path]), str(tmp_path))
    latin = tmp_path / "latin.toml"
    latin.write_bytes('[score]\nsurface = "caf\xe9"\n'.encode("latin-1"))
    refused(lambda: load_conf(files=[latin]), "latin.toml")


# -- sources


def test_a_path_to_a_source_names_the_shop_by_its_file(tmp_path: Path) -> None:
    source = load_source(str(write(tmp_path / "acme.toml", ACME)))
    assert (source.name, source.delimiter, source.kinds) == ("acme", ",", {"looked": Kind.VIEW})


def test_a_source_overrides_settings_and_sets_override_it(tmp_path: Path) -> None:
    path = write(tmp_path / "acme.toml", ACME + '[gate]\nmax_bot_share = 1\n[settings]\n"score.k" = 7\n')
    source = load_source(str(path))
    assert (load_conf(source=source).gate.max_bot_share, load_conf(source=source).score.k) == (1.0, 7)
    assert load_conf(source=source, sets=["score.k=8"]).score.k == 8


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("doc =", "colour = 3\ndoc =", ("colour",)),
        ("doc =", "dco =", ("doc", "dco")),
        ('format = "csv"', 'format = "xml"', ("format", "jsonl")),
        ('layout = "single"', 'layout = "daily"', ("{day}",)),
        ('layout = "single"', 'layout = "daily"\npattern = "{yyyy}-{mm}.csv"', ("{dd}",)),
        ('format = "csv"', 'format = "lines"', ("regex",)),
        ('format = "csv"', 'format = "lines"\nregex = "(a+)"', ("group (?<name>...)",)),
        ('format = "csv"', 'format = "csv"\nregex = "(?<a>a+)"', ("regex means nothing for format csv",)),
        ('format = "csv"', 'format = "parquet"\ncolumns = ["a"]', ("columns means nothing for format parquet",)),
        ('format = "csv"', 'format = "csv"\ndelimiter = "||"', ("delimiter",)),
        ("[events]", '[fields]\nid = "INT"\n[events]', ("STRING",)),
        ("[events]", '[derived]\nElement = "1"\n[events]', ("[derived]", "Element")),
        ("[events]", '[parts.a]\npattern = "*"\n[parts.b]\npattern = "*"\n[events]', ("[parts]", "pattern")),
        ("[events]", '[parts.a]\npatern = "*"\n[events]', ("parts.a.patern",)),
        ("[events]", 'ignored = ["looked"]\n[events]', ("[kinds] and ignored both name looked",)),
        ('format = "csv"', 'format = "jsonl"', ("[fields]",)),
        ("Europe/Berlin", "Europe/Brlin", ("time_zone", "Europe/Brlin")),
        ("Europe/Berlin", "../etc/passwd", ("time_zone",)),
        ('kind = "what"', "", ("[events] lacks kind",)),
        ('user_id = "who"', "", ("neither user_id nor device_id",)),
        ('user_id = "who"', 'user_id = "who"\ncampain = "utm"', ("campain",)),
        ('user_id = "who"', 'user_id = "who"\nlanded = "today"', ("landed",)),
        ('looked = "view"', 'looked = "veiw"', ("kinds.looked",)),
        ("doc =", 'name = "Acme Shop"\ndoc =', ("name", "lower-case")),
        ('event_id = "id"', "event_id = 3", ("events.event_id",)),
        ("doc =", "history_days = 0\ndoc =", ("history_days",)),
    ],
)
def test_a_source_refuses(tmp_path: Path, before: str, after: str, words: tuple[str, ...]) -> None:
    assert before in ACME
    path = write(tmp_path / "acme.toml", ACME.replace(before, after))
    refused(lambda: load_source(str(path)), "acme.toml", *words)


@pytest.mark.parametrize(
    "override", ["[gate]\nmax_bots = 1\n", '[settings]\n"score.kk" = 7\n', '[settings]\n"k" = 7\n']
)
def test_a_source_overrides_known_settings_only(tmp_path: Path, override: str) -> None:
    source = load_source(str(write(tmp_path / "acme.toml", ACME + override)))
    refused(lambda: load_conf(source=source), "acme.toml", "unknown key")


def test_an_unknown_source_names_the_known_ones() -> None:
    with pytest.raises(BadInput, match=r"no source mapping .*nowhere\.toml") as caught:
        load_source("nowhere")
    assert "online_retail, otto, rees46, retailrocket" in caught.value.next_command
    refused(lambda: load_source("/nowhere/acme.toml"), "/nowhere/acme.toml")


def test_a_file_name_that_names_no_shop_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "My Shop.toml", ACME)
    refused(lambda: load_source(str(path)), "My Shop.toml", "name")


# -- mappings that build on others, and sources of several kinds of files


def test_an_extending_mapping_states_what_differs(tmp_path: Path) -> None:
    write(tmp_path / "acme.toml", ACME)
    path = write(
        tmp_path / "branch.toml",
        'extends = "acme.toml"\ntime_zone = "Europe/Vienna"\n[events]\nitem_id = "sku"\n[kinds]\nbought = "purchase"\n',
    )
    source = load_source(str(path))
    assert (source.name, source.time_zone, source.doc) == ("branch", "Europe/Vienna", "A shop for tests.")
    assert source.events == {**load_source(str(tmp_path / "acme.toml")).events, "item_id": "sku"}
    assert source.kinds == {"looked": Kind.VIEW, "bought": Kind.PURCHASE}
    assert source.mapping == str(path)


def test_an_extending_mapping_may_name_a_bundled_one(tmp_path: Path) -> None:
    source = load_source(str(write(tmp_path / "myshop.toml", 'extends = "ga4"\ntime_zone = "Asia/Tokyo"\n')))
    ga4 = load_source("ga4")
    assert (source.name, source.time_zone, source.events) == ("myshop", "Asia/Tokyo", ga4.events)
    assert (ga4.mapping, ga4.argument, source.argument) == (
        "conf/sources/ga4.toml",
        "ga4",
        str(tmp_path / "myshop.toml"),
    )


def test_what_an_extending_mapping_cannot_do(tmp_path: Path) -> None:
    for name, parent in (("a", "b.toml"), ("b", "a.toml"), ("c", "c.toml"), ("d", "nowhere")):
        write(tmp_path / f"{name}.toml", f'extends = "{parent}"\n')
    refused(lambda: load_source(str(tmp_path / "a.toml")), "extends itself through")
    refused(lambda: load_source(str(tmp_path / "c.toml")), "c.toml extends itself through c.toml")
    refused(lambda: load_source(str(tmp_path / "d.toml")), "no source mapping", "nowhere")


def test_parts_differ_in_what_they_state(tmp_path: Path) -> None:
    parts = """
[parts.clicks]
pattern = "clicks-{day}.csv"
columns = ["id", "ts"]
[parts.orders]
format = "jsonl"
pattern = "orders-{day}.jsonl"
[parts.orders.fields]
id = "STRING"
"""
    text = ACME.replace('layout = "single"', 'layout = "daily"\ndelimiter = ";"').replace(
        "[events]", f"{parts}[events]"
    )
    source = load_source(str(write(tmp_path / "acme.toml", text)))
    clicks, orders = source.files["clicks"], source.files["orders"]
    assert (clicks.format, clicks.delimiter, clicks.known) == ("csv", ";", {"id": "STRING", "ts": "STRING"})
    assert (orders.format, orders.pattern, orders.columns) == ("jsonl", "orders-{day}.jsonl", ())


def test_a_pattern_names_one_day_or_all() -> None:
    from datetime import date

    compact = Files(format="parquet", pattern="{yyyy}/{mm}/events_{yyyy}{mm}{dd}*.parquet")
    assert compact.glob(date(2001, 2, 3)) == "2001/02/events_20010203*.parquet"
    assert compact.glob(None) == "*/*/events_*.parquet"
    regex, tokens = compact.path_regex()
    found = re.search(regex, "/data/2001/02/events_20010203-0.parquet")
    assert found
    assert dict(zip(tokens, found.groups(), strict=True)) == {"{yyyy}": "2001", "{mm}": "02", "{dd}": "03"}
    assert not re.search(regex, "/data/2001/02/clicks_events_20010203.parquet")
