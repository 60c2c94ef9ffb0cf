"""The services of compose.yaml as processes of this machine: same scripts, same environment, an address of 127/8 each.

Where containers have names, folders and /run/secrets, processes have loopback addresses and folders below one root;
everything else is what compose.yaml says, in the order that it says.
"""

from __future__ import annotations

import os
import random
import re
import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jobs.ops import postgres
from jobs.ops.airflow_api import wait_until
from jobs.ops.services import TOKEN, Running, stop
from tests.docker.deployment import SCRIPTS, compose, script

from nightjar.settings import repository
from nightjar.stores.home import Home

_PATIENCE_SECONDS = 1500


@dataclass
class Servers:
    """What was started, and a log of it that a person reads."""

    root: Path
    file: dict[str, Any]
    address: dict[str, str]  # service -> its address
    running: Running = field(default_factory=lambda: Running(secrets.token_hex(16), 8080))
    began: float = field(default_factory=time.monotonic)
    ready: set[str] = field(default_factory=set)
    stack: ExitStack = field(default_factory=ExitStack)

    @property
    def home(self) -> Home:
        return Home(self.root / "home")

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    @property
    def log(self) -> Path:
        return self.root / "deployment.log"

    @property
    def airflow_url(self) -> str:
        return f"http://{self.address['api-server']}:8080"

    def say(self, text: str) -> None:
        with self.log.open("a", encoding="utf-8") as log:
            log.write(f"{datetime.now(UTC):%H:%M:%S} {time.monotonic() - self.began:5.0f} s  {text}\n")

    def service_log(self, name: str) -> Path:
        return self.home.root / "logs" / "services" / f"{name}.log"

    # -- what compose.yaml says, on this machine

    def native(self, service: str, text: str) -> str:
        """A value of compose.yaml with this machine's places in it."""
        own = self.address[service]
        folders = {
            "/opt/nightjar/": f"{repository()}/",
            "/run/secrets": f"{self.secrets}",
            "/var/lib/nightjar": f"{self.home.root}",
            "/var/lib/mlflow": f"{self.root / 'mlflow'}",
            "/var/log/nightjar": f"{self.root / 'logs'}",
            "/opt/airflow": f"{self.root / 'airflow' / service}",
            "/tmp/nightjar-spark": f"{self.root / 'spark' / service}",  # noqa: S108 - the container's own
            "/tmp/spark-work": f"{self.root / 'work' / service}",  # noqa: S108
        }
        for place, folder in folders.items():
            text = text.replace(place, folder)
        for name, address in self.address.items():
            text = re.sub(rf"(?<![\w-]){re.escape(name)}(?=:\d)", address, text)
        return text.replace("0.0.0.0", own)  # noqa: S104 - every address of a container is one of ours

    def environment(self, service: str) -> dict[str, str]:
        given = self.file["services"][service].get("environment", {})
        return {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            "JAVA_TOOL_OPTIONS": "-XX:TieredStopAtLevel=1",  # small nights end before the optimising compiler pays
            "NIGHTJAR_ADDRESS": self.address[service],
            "NIGHTJAR_RETRY_SECONDS": "2",
            TOKEN: self.running.token,
            "SPT_NOENV": "1",  # a process title would cover the token
            **{name: self.native(service, str(value)) for name, value in given.items()},
        }

    def start(self, service: str) -> None:
        """Start what the service waits for, then the service; return when its own health check says so."""
        if service in self.ready:
            return
        for needed in self.file["services"][service].get("depends_on", {}):
            self.start(needed)
        if service == "postgres":
            self._start_postgres()
        else:
            self._start(service)
        self.ready.add(service)

    def _start_postgres(self) -> None:
        server = self.stack.enter_context(postgres.running(f"listen_addresses={self.address['postgres']}", "fsync=off"))
        _prepare(server, self)
        self.say(f"{'postgres':14} healthy, with databases.sh run, at {self.address['postgres']}")

    def _start(self, service: str) -> None:
        argv = [self._python, str(SCRIPTS / "service.py")]
        argv += [self.native(service, word) for word in self.file["services"][service]["command"]]
        environment, started = self.environment(service), time.monotonic()
        for variable in ("AIRFLOW_HOME", "NIGHTJAR_HOME"):
            if folder := environment.get(variable):
                Path(folder).mkdir(parents=True, exist_ok=True)
        self.service_log(service).parent.mkdir(parents=True, exist_ok=True)
        with self.service_log(service).open("wb") as log:
            process = subprocess.Popen(
                argv, env=environment, cwd=self.root, stdout=log, stderr=log, start_new_session=True
            )
        check = self.file["services"][service]["healthcheck"]
        if check.get("disable"):
            assert process.wait(timeout=_PATIENCE_SECONDS) == 0, self._tail(service)
            self.say(f"{service:14} done after {time.monotonic() - started:.0f} s")
            return
        self.running.processes[service] = process.pid
        self.running.save(self.home)

        def alive() -> None:
            assert process.poll() is None, self._tail(service)

        healthy = wait_until(lambda: not self.problem(service), seconds=_PATIENCE_SECONDS, check=alive, pause=2)
        assert healthy, f"{self.problem(service)}\n{self._tail(service)}"
        self.say(f"{service:14} healthy after {time.monotonic() - started:.0f} s at {self.address[service]}")

    def problem(self, service: str) -> str:
        """What the service's own health check has against it; empty when it is healthy."""
        argv = [self.native(service, word) for word in self.file["services"][service]["healthcheck"]["test"][1:]]
        argv[0] = self._python
        done = subprocess.run(argv, env=self.environment(service), capture_output=True, text=True, check=False)
        return "" if done.returncode == 0 else done.stderr.strip() or f"exit code {done.returncode}"

    @property
    def _python(self) -> str:
        return str(repository() / ".envs" / "airflow" / "bin" / "python")

    def _tail(self, service: str) -> str:
        return f"{service}:\n{self.service_log(service).read_text(errors='replace')[-3000:]}"


@contextmanager
def deployed(root: Path, *services: str, pseudonym_key: str, **differing: str) -> Iterator[Servers]:
    """Services and what they wait for, healthy; no process of them is left behind.

    Args:
        services: all of compose.yaml if none is named.
        differing: lines of .env that are not those of .env.example.
    """
    file = compose(**differing)
    # Any loopback network: others may listen at the ports of 127.0.0.1.
    network = f"127.{random.randrange(1, 255)}.{random.randrange(1, 255)}"
    address = {name: f"{network}.{number}" for number, name in enumerate(file["services"], start=1)}
    servers = Servers(root, file, address)
    servers.home.root.mkdir(parents=True)
    script("make_secrets").make(servers.secrets)
    for path in servers.secrets.iterdir():
        text = pseudonym_key if path.name == "pseudonym_key" else path.read_text(encoding="utf-8")
        path.chmod(0o644)
        path.write_text(text.replace("postgres:5432", f"{address['postgres']}:5432"), encoding="utf-8")
    with servers.stack:
        try:
            for service in services or file["services"]:
                servers.start(service)
            yield servers
        finally:
            stop(servers.home, servers.running)
            servers.say("stopped")


def _prepare(server: postgres.Server, servers: Servers) -> None:
    """Ask for passwords as the image's server does, and run what the image runs when its data folder is new."""
    rules = f"local all all trust\nhost all all {servers.address['postgres']}/8 scram-sha-256\n"
    (server.data / "pg_hba.conf").write_text(rules, encoding="utf-8")
    place = urlsplit(server.uri).query.removeprefix("host=")
    tools = os.pathsep.join([str(postgres.binaries()), os.environ["PATH"]])
    said = {"PATH": tools, "PGHOST": place, "POSTGRES_USER": "nightjar", "NIGHTJAR_SECRETS": str(servers.secrets)}
    subprocess.run(["psql", "-U", "nightjar", "-d", "postgres", "-qc", "SELECT pg_reload_conf()"], env=said, check=True,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    subprocess.run([str(SCRIPTS / "databases.sh")], env=said, check=True)
