"""Params as somebody with the right to start a run may write them: each is refused, or stays one argument."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jobs.ops import services

from nightjar.contracts import BadInput
from nightjar.settings import OPERATORS_OWN, Conf, check_run_sets, load_conf, load_shop, load_source, repository

#: What shells, templates, SQL, paths and flags read in their own way.
TOKENS = (
    *(
        "$(id)",
        "`id`",
        "; id",
        "| id",
        "&& id",
        "'",
        '"',
        "\\",
        "\n",
        "\0",
        "\u202e",
        "{{ 7*7 }}",
        "{% raw %}",
        "${HOME}",
    ),
    *(
        "' OR 1=1 --",
        "'); DROP TABLE x; --",
        "../",
        "..",
        "/",
        "*",
        "{a,b}",
        "[ab]",
        "--conf",
        "-x",
        "=",
        " ",
        ".",
        "#{1+1}",
    ),
    *("synthetic", "sasrec", "2001-01-15", "train.epochs=1", "spark.java_options=-javaagent:/tmp/x.jar", "é", "日本"),
)
hostile = st.lists(st.one_of(st.sampled_from(TOKENS), st.text(max_size=5)), max_size=6).map("".join)
SLOW = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))


class Resolver:
    """Airflow's environment beside ours: one line asks, one line answers."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def __call__(self, run_id: str = "manual__1", **params: Any) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"run_id": run_id, "params": params}) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("SAID "):
                answer: dict[str, Any] = json.loads(line.removeprefix("SAID "))
                return answer
        raise AssertionError("the resolver has died")


@pytest.fixture(scope="module")
def resolve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Resolver]:
    home = tmp_path_factory.mktemp("hostile")
    environment = {
        "PATH": "/usr/bin:/bin",
        "AIRFLOW_HOME": str(home),
        "NIGHTJAR_HOME": str(home),
        "AIRFLOW_CONN_SPARK_NIGHTJAR": '{"conn_type": "spark", "host": "local[1]"}',
        "PYTHONPATH": f"{repository() / 'dags'}:{repository() / 'src'}",
    }
    python = services.ENVIRONMENTS / "airflow" / "bin" / "python"
    script = Path(__file__).with_name("resolve_params.py")
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "encoding": "utf-8"}
    with subprocess.Popen([str(python), str(script)], env=environment, cwd=home, **pipes) as process:
        yield Resolver(process)
        assert process.stdin
        process.stdin.close()
        assert process.wait(timeout=60) == 0


@pytest.fixture(scope="module")
def plain(resolve: Resolver) -> dict[str, list[str]]:
    argv: dict[str, list[str]] = resolve(source="synthetic")["argv"]
    return argv


params = st.fixed_dictionaries(
    {},
    optional={
        "source": st.one_of(hostile, st.just("retailrocket")),
        "raw": st.one_of(hostile, hostile.map("/".__add__)),
        "day": hostile,
        "model": st.one_of(hostile, st.just("gru")),
        "set": st.lists(st.one_of(hostile, hostile.map("digest.when=".__add__), hostile.map("score.surface=".__add__))),
    },
)


@SLOW
@given(params=params, run_id=hostile.filter(bool))
def test_a_param_is_refused_or_stays_one_argument(
    resolve: Resolver, plain: dict[str, list[str]], params: dict[str, Any], run_id: str
) -> None:
    answer = resolve(run_id, **params)
    if "refused" in answer:
        assert "\n  next: " in answer["refused"]
        return
    sets = [part for one in params.get("set", ()) for part in ("--set", one)]
    for name, argv in answer["argv"].items():
        assert len(argv) == len(plain[name]) + len(sets)
        head = argv[: len(plain[name])]
        assert argv[len(head) :] == sets
        # What differs from a plain night stands behind a flag, is none itself and leaves no folder.
        changed = [(head[at - 1], part) for at, part in enumerate(head) if part != plain[name][at]]
        assert {flag for flag, _ in changed} <= {
            "--source",
            "--raw",
            "--conf",
            "--run",
            "--events",
            "--recommendations",
        }
        assert all(part.isprintable() and not part.startswith("-") for _, part in changed)
        for flag, part in changed:
            assert flag == "--raw" or ".." not in part.split("/")


@SLOW
@given(noise=st.sampled_from(("", " ", "\t", "  ")), key=st.sampled_from(sorted(OPERATORS_OWN)), value=hostile)
def test_no_run_sets_what_is_the_operators(resolve: Resolver, noise: str, key: str, value: str) -> None:
    answer = resolve(set=[f"{noise}{key}{noise}={value}"])
    assert f"{key} is set by the operator of this installation, not by a run" in answer["refused"]


def test_what_is_the_operators() -> None:
    assert {
        "digest.smtp_variable",
        "digest.webhook_variable",
        "predict.cases",
        "predict.trial_control",
        "predict.trial_treated",
        "score.rules",
        "spark.java_options",
        "spark.master",
        "spark.openlineage_jar",
    } == OPERATORS_OWN


def test_every_text_of_the_settings_was_looked_at() -> None:
    """A setting that is text may be code to somebody: a new one is marked `OPERATOR`, or named here with what it is."""
    harmless = {
        "simulate.start": "a day",
        "clean.item_pattern": "a pattern, put into SQL as a literal",
        "clean.test_user_pattern": "the same",
        "clean.test_campaign_pattern": "the same",
        "clean.test_item_pattern": "the same",
        "clean.test_agent_pattern": "the same",
        "clean.bot_agent_pattern": "the same",
        "score.surface": "a value of a column",
        "score.held_out_salt": "hashed",
        "decisions.control_salt": "hashed",
        **{f"decisions.{name}_offer": "a value of a column" for name in ("coupon", "retention", "promotion", "cart")},
    }
    texts = {
        f"{section}.{key}"
        for section, of in Conf.model_fields.items()
        for key, field in of.annotation.model_fields.items()  # type: ignore[union-attr]
        if field.annotation is str
    }
    assert texts == OPERATORS_OWN | harmless.keys()


def test_the_operators_files_still_say_it(tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    path.write_text('extends = "retailrocket"\n[settings]\n"spark.java_options" = "-Xss4m"\n')
    assert load_conf(source=load_source(str(path))).spark.java_options == "-Xss4m"
    check_run_sets(["train.epochs=3", "spark.driver_memory_gib=2"])
    with pytest.raises(BadInput, match=r"next: edit conf/base.toml, or \[settings\]"):
        check_run_sets(["spark.java_options=-javaagent:/tmp/x.jar"])


@settings(max_examples=200, deadline=None)
@given(name=st.one_of(hostile, st.integers(), st.lists(hostile), st.none()))
def test_a_source_from_outside_is_a_name_or_refused(name: object) -> None:
    try:
        found = load_shop(name)
    except BadInput:
        return
    assert (repository() / "conf" / "sources" / f"{name}.toml").is_file()
    assert found.name == name


@settings(max_examples=200, deadline=None)
@given(key=st.one_of(hostile, st.sampled_from(("score.surface", "clean.item_pattern", "train.epochs"))), value=hostile)
def test_a_setting_is_text_or_refused(key: str, value: str) -> None:
    try:
        conf = load_conf(sets=[f"{key}={value}"])
    except BadInput:
        return
    section, _, name = key.partition("=")[0].strip().partition(".")
    assert name in type(getattr(conf, section)).model_fields
