"""Build the environments from their lock files; run again, it does nothing or repairs. Standard library only.

One environment for Airflow, one for the jobs: Airflow's Spark provider brings `pyspark-client`, which
overwrites files of `pyspark`. A folder is stamped when it is complete; any other is built from nothing,
because a pip that was interrupted leaves half-unpacked packages behind that it takes for whole. A third one, with what
the jobs are compared with and never import, is built for the benchmarks only.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from jobs.ops.doctor import need_java

from nightjar.contracts import BadInput

CHECKOUT = Path(__file__).resolve().parents[2]
FOLDER = CHECKOUT / ".envs"
LOCKS = CHECKOUT / "conf" / "locks"
TORCH_INDEX = "TORCH_INDEX_URL"


@dataclass(frozen=True)
class Environment:
    """One virtual environment, what goes in and how to tell that all of it is there."""

    name: str
    extras: tuple[str, ...]
    #: requirement extras that must not be resolved together with the rest
    first: tuple[str, ...] = ()
    #: besides the extras: tests of DAGs run inside Airflow's environment
    also: tuple[str, ...] = ()
    #: imported at the end: a package that cannot be imported is not installed
    probes: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        return FOLDER / self.name

    @property
    def python(self) -> Path:
        return self.path / "bin" / "python"

    @property
    def lock(self) -> Path:
        return LOCKS / f"{self.name}.txt"

    @property
    def stamp(self) -> Path:
        return self.path / "complete"

    @property
    def log(self) -> Path:
        return FOLDER / f"{self.name}.log"


JOBS = Environment("jobs", ("jobs", "dev"), first=("torch",), probes=("torch", "pyspark", "nightjar"))
AIRFLOW = Environment("airflow", ("airflow",), also=("pytest",), probes=("airflow", "nightjar"))
ENVIRONMENTS = (AIRFLOW, JOBS)
BENCH = Environment("bench", ("bench",), probes=("polars",))
RECTOOLS = Environment("rectools", ("rectools",), first=("torch",), probes=("rectools.models",))
RECBOLE = Environment("recbole", ("recbole",), first=("torch",), probes=("torch",))
SUPERSET = Environment("superset", ("superset",), probes=("superset", "duckdb_engine", "psycopg2"))
AUDIT = Environment("audit", ("audit",), probes=("pip_audit", "cyclonedx", "jsonschema"))
#: What the benchmarks compare with; a night needs none of them.
PEERS = (BENCH, RECTOOLS, RECBOLE)


def fingerprint(environment: Environment) -> str:
    """Changes whenever the environment must be brought up to date."""
    digest = hashlib.sha256()
    digest.update(environment.lock.read_bytes())
    # A moved checkout breaks the absolute paths inside an environment, another Python its binaries.
    digest.update(f"{requirements(environment)}|{CHECKOUT}|{sys.version_info[:2]}|{environment}".encode())
    return digest.hexdigest()


def is_complete(environment: Environment) -> bool:
    try:
        return environment.stamp.read_text() == fingerprint(environment) and environment.python.exists()
    except OSError:
        return False


def requirements(environment: Environment) -> list[str]:
    """What pyproject.toml asks for; the lock file says which versions."""
    declared = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    project = declared["project"]
    extras = [need for extra in environment.extras for need in project["optional-dependencies"][extra]]
    return [*declared["build-system"]["requires"], *project["dependencies"], *extras, *environment.also]


def build(environment: Environment, *, constraints: Path | None) -> None:
    """Create one environment, from nothing.

    Args:
        constraints: the lock file; None resolves afresh, for `make locks`.
    """
    started = time.monotonic()
    _say(environment, "creating", started)
    _step(environment, [sys.executable, "-m", "venv", "--clear", str(environment.path)], started, _NO_VENV)
    pinned = ["--constraint", str(constraints)] if constraints else []
    needs = requirements(environment)
    for package in environment.first:
        _say(environment, f"installing {package} first, so that no resolver picks another build", started)
        need = next(need for need in needs if need.startswith(f"{package}=="))
        # Its dependencies come with the rest: an index of torch builds has them in other versions.
        _step(environment, _pip(environment, "install", "--no-deps", *_torch_index(), need), started)
    _say(environment, f"installing {len(needs)} requirements and what they need", started)
    _step(environment, _pip(environment, "install", *pinned, *needs), started)
    _step(
        environment,
        _pip(environment, "install", "--no-deps", "--no-build-isolation", "--editable", str(CHECKOUT)),
        started,
    )
    _say(environment, "checking", started)
    _step(environment, _pip(environment, "check"), started)
    _step(environment, [str(environment.python), "-c", f"import {', '.join(environment.probes)}"], started)
    environment.stamp.write_text(fingerprint(environment))
    _say(environment, "complete", started)


_NO_VENV = "install Python's venv module (Debian and Ubuntu: apt-get install python3-venv), then make setup"


def _pip(environment: Environment, command: str, *arguments: str) -> list[str]:
    quiet = ["--disable-pip-version-check", "--no-input", "--progress-bar", "off"] if command == "install" else []
    return [str(environment.python), "-m", "pip", command, *quiet, *arguments]


def _torch_index() -> list[str]:
    return ["--index-url", os.environ[TORCH_INDEX]] if os.environ.get(TORCH_INDEX) else []


def _say(environment: Environment, text: str, started: float) -> None:
    print(f"setup: {environment.name:8} {time.monotonic() - started:4.0f} s  {text}", flush=True)


def _step(environment: Environment, command: Sequence[str], started: float, advice: str | None = None) -> None:
    """Run one command with its output in the log; say every 20 seconds that it is alive.

    Raises:
        BadInput: it failed; carries the last lines of the log.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    with environment.log.open("a") as log:
        log.write(f"$ {' '.join(command)}\n")
        log.flush()
        begin = log.tell()
        with subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT) as process:
            _wait(environment, process, begin, started)
    if process.returncode:
        tail = "\n  ".join(_new_text(environment.log, begin).strip().splitlines()[-8:])
        raise BadInput(
            f"the {environment.name} environment could not be built; the end of {environment.log}:\n  {tail}",
            advice or "mend what the log says, then make setup",
        )


def _wait(environment: Environment, process: subprocess.Popen[bytes], begin: int, started: float) -> None:
    try:
        while True:
            try:
                process.wait(timeout=20)
                return
            except subprocess.TimeoutExpired:
                seen = sum(line.startswith("Collecting ") for line in _new_text(environment.log, begin).splitlines())
                _say(environment, f"  … {seen} packages seen" if seen else "  …", started)
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        raise


def _new_text(path: Path, begin: int) -> str:
    with path.open("rb") as log:
        log.seek(begin)
        return log.read().decode(errors="replace")


@contextmanager
def alone() -> Iterator[None]:
    """Two set-ups of one checkout wait for each other."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def setup(environments: Sequence[Environment] = ENVIRONMENTS) -> None:
    """Bring environments up to date; instant when they are."""
    if all(is_complete(environment) for environment in environments):
        return
    if any(environment.name == JOBS.name for environment in environments):
        need_java()
    with alone():
        for environment in environments:
            if not is_complete(environment):
                environment.log.unlink(missing_ok=True)
                build(environment, constraints=environment.lock)


def of_an_image(environment: Environment) -> Environment:
    """The same without what only development and tests need."""
    return replace(environment, extras=tuple(extra for extra in environment.extras if extra != "dev"), also=())


def write_locks() -> None:
    """Resolve all environments afresh and write what came out to conf/locks/."""
    with alone():
        for environment in (*ENVIRONMENTS, *PEERS, SUPERSET, AUDIT):
            environment.stamp.unlink(missing_ok=True)
            environment.lock.touch()  # of a new environment
            build(environment, constraints=None)
            environment.lock.write_text(freeze(environment))
            environment.stamp.write_text(fingerprint(environment))


def freeze(environment: Environment) -> str:
    """Every installed version, without build suffixes such as `+cpu`: they differ between indexes."""
    command = _pip(environment, "freeze", "--all", "--exclude-editable")
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    pins = [line.split("+")[0] for line in lines if not line.startswith(("pip==", "#"))]
    return "\n".join(sorted(pins, key=str.lower)) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the environments under .envs/.")
    parser.add_argument("--locks", action="store_true", help="resolve afresh and rewrite conf/locks/*.txt")
    names = {peer.name: peer for peer in PEERS}
    parser.add_argument("--bench", choices=sorted(names), nargs="*", help="build what a benchmark compares with, only")
    runtime = {environment.name: of_an_image(environment) for environment in ENVIRONMENTS}
    parser.add_argument("--image", choices=sorted(runtime), nargs="+", help="build these as an image has them, only")
    args = parser.parse_args()
    chosen = [names[name] for name in args.bench or ()] + [runtime[name] for name in args.image or ()]
    try:
        write_locks() if args.locks else setup(chosen or ENVIRONMENTS)
    except BadInput as error:
        sys.exit(f"setup: {error}")


if __name__ == "__main__":
    main()
