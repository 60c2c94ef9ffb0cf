"""The Dockerfiles are lists of scripts that exist: no engine was there to build them, the scripts run everywhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from jobs.ops.setup import AIRFLOW, JOBS, of_an_image, requirements
from tests.docker.deployment import DOCKERFILES, SCRIPTS, instructions

from nightjar.settings import repository

ROOT = repository()
IMAGE_ROOT = "/opt/nightjar/"

each_image = pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=[path.stem for path in DOCKERFILES])


def test_both_images_are_there() -> None:
    assert [path.name for path in DOCKERFILES] == ["airflow.Dockerfile", "jobs.Dockerfile"]


@each_image
def test_every_command_is_a_script_of_ours(dockerfile: Path) -> None:
    found = instructions(dockerfile)
    by_name = {one.name: one for one in found}
    for one in found:
        if one.name == "RUN":
            script = ROOT / one.argv[0]
            assert script.parent == SCRIPTS
            assert script.stat().st_mode & 0o111, script
    for name, script in (("ENTRYPOINT", "service.py"), ("HEALTHCHECK", "health.py")):
        python, path, *_ = by_name[name].argv
        assert python == f"{IMAGE_ROOT}.envs/airflow/bin/python"
        assert path == f"{IMAGE_ROOT}docker/scripts/{script}"
        assert (SCRIPTS / script).exists()


@each_image
def test_bases_are_exact_and_nobody_is_root(dockerfile: Path) -> None:
    found = instructions(dockerfile)
    assert [one.text for one in found if one.name == "FROM"] == ["${BASE}"]
    (base,) = (one.text for one in found if one.name == "ARG" and one.text.startswith("BASE="))
    assert re.fullmatch(r"BASE=python:3\.11\.\d+-slim-[a-z]+(@sha256:[0-9a-f]{64})?", base)
    assert "latest" not in dockerfile.read_text(encoding="utf-8")
    users = [one.text for one in found if one.name == "USER"]
    assert users == ["50000:0"]
    last_run = max(place for place, one in enumerate(found) if one.name == "RUN")
    assert last_run < [one.name for one in found].index("USER"), "what runs while building needs root"
    assert "useradd --uid 50000 --gid 0" in (SCRIPTS / "user.sh").read_text(encoding="utf-8")


@each_image
def test_what_is_copied_exists_and_the_ignore_file_lets_it_in(dockerfile: Path) -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*", "first everything stays out"
    admitted = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    assert {"docker/secrets", "docker/.env"} <= set(rules)
    for one in instructions(dockerfile):
        if one.name == "COPY":
            for source in one.words[:-1]:
                assert (ROOT / source).exists(), source
                assert source.split("/")[0] in admitted, source
    assert admitted == {
        word.split("/")[0] for one in instructions(dockerfile) if one.name == "COPY" for word in one.words[:-1]
    }


@each_image
def test_no_secret_is_baked(dockerfile: Path) -> None:
    settings = [one.text for one in instructions(dockerfile) if one.name in ("ENV", "ARG")]
    assert not [text for text in settings if re.search(r"password|secret|token|_key\b|_uri\b", text, re.IGNORECASE)]


def test_the_images_share_their_layers() -> None:
    """Instruction for instruction up to the jobs' environment."""
    airflow, jobs = (instructions(path) for path in DOCKERFILES)
    common = [one.text for one in airflow].index('["docker/scripts/user.sh"]') + 1
    assert airflow[:common] == jobs[:common]
    assert [one.text for one in jobs[common : common + 2]] == [
        'TORCH_INDEX_URL=""',
        '["docker/scripts/install.sh", "jobs"]',
    ]


def test_the_copied_files_are_enough_to_build_environments(tmp_path: Path) -> None:
    """In a folder with what stands before the first RUN and nothing else."""
    for one in instructions(DOCKERFILES[1]):
        if one.name == "RUN":
            break
        if one.name == "COPY":
            *sources, target = one.words
            for source in sources:
                place = tmp_path / target
                subprocess.run(["mkdir", "-p", place if target.endswith("/") else place.parent], check=True)
                subprocess.run(["cp", "-r", ROOT / source, place], check=True)
    done = subprocess.run(
        [sys.executable, "-I", "-c", "import sys; sys.path[:0] = ['src', '.']; from jobs.ops import setup; "
         "print(*setup.requirements(setup.of_an_image(setup.JOBS)), sep='\\n'); setup.JOBS.lock.read_bytes()"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "mlflow==3.17.2" in done.stdout


def test_images_leave_out_what_only_development_needs() -> None:
    for environment, tools in ((JOBS, {"pytest", "ruff", "mypy", "playwright"}), (AIRFLOW, {"pytest"})):
        all_of_it, runtime = set(requirements(environment)), set(requirements(of_an_image(environment)))
        assert runtime < all_of_it
        assert tools <= all_of_it - runtime
        assert of_an_image(environment).lock == environment.lock
