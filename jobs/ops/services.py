"""Airflow and MLflow on this machine: configure by environment variables, start, find, stop.

Airflow's scheduler, DAG processor and API server are started as three processes of ours instead of
`airflow standalone`: each has its own log, a dead one is noticed, and nobody prints a password.
Every process carries a random token in its environment, which its children inherit, whatever session
or process group they open for themselves; stopping means that no process with the token is left.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from jobs.ops.airflow_api import AirflowApi, wait_until
from jobs.ops.doctor import need_java, need_port

from nightjar.contracts import BadInput
from nightjar.settings import load_source, read_toml, repository
from nightjar.stores import lineage
from nightjar.stores.home import Home

CHECKOUT = repository()
ENVIRONMENTS = CHECKOUT / ".envs"
DAG, TRAINING = "nightly", "training"
USER = "admin"
#: Who logs in to Airflow, and as what. Its role `op` would also change connections and variables, `user` runs DAGs.
ROLES = {USER: "admin", "operator": "user", "viewer": "viewer"}
LOOPBACK = "127.0.0.1"
LISTEN, MLFLOW_LISTEN, HOST = "NIGHTJAR_LISTEN", "NIGHTJAR_MLFLOW_LISTEN", "NIGHTJAR_HOST"
TOKEN = "NIGHTJAR_SERVICES"  # noqa: S105 - the variable's name
#: The scheduler would also serve its tasks' logs, on every interface; the API server reads them from the same disk.
#: Of Airflow's lineage events, a quarter of a megabyte a night: most of a year.
MAX_EVENTS_BYTES = 64 * 2**20
COMPONENTS = {"api-server": (), "scheduler": ("--skip-serve-logs",), "dag-processor": ()}


@dataclass
class Running:
    """What we started and how to find it again; kept in `<home>/services.json`."""

    token: str
    airflow_port: int
    mlflow_port: int | None = None
    #: whether the DAG has its nightly schedule, or only runs that somebody starts
    scheduled: bool = False
    #: of a backfill's own: the last moment that the schedule covers, ISO 8601
    until: str = ""
    #: the address that Airflow takes connections at
    listen: str = LOOPBACK
    processes: dict[str, int] = field(default_factory=dict)

    @classmethod
    def load(cls, home: Home) -> Running | None:
        """Our services, if any of their processes is alive."""
        try:
            running = cls(**json.loads(_register(home).read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None
        return running if next(processes_with(running.token), None) else None

    def save(self, home: Home) -> None:
        write_secret(_register(home), json.dumps(asdict(self), indent=1))

    @property
    def airflow_url(self) -> str:
        """Where we call it, on this machine."""
        anywhere = ipaddress.ip_address(self.listen).is_unspecified
        return f"http://{_in_url(LOOPBACK if anywhere else self.listen)}:{self.airflow_port}"


def _in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def listening(variable: str) -> str:
    """The address that a service takes connections at: loopback unless the environment says otherwise.

    Raises:
        BadInput: it is no IP address, or others are let in and no name is given that they may ask for.
    """
    address = os.environ.get(variable) or LOOPBACK
    try:
        is_loopback = ipaddress.ip_address(address).is_loopback
    except ValueError as error:
        raise BadInput(
            f"{variable}={address} is no IP address", f"export {variable}=0.0.0.0  # or leave it out"
        ) from error
    if not is_loopback and not os.environ.get(HOST):
        raise BadInput(
            f"{variable}={address} lets other machines in, and {HOST} does not say by which name they come",
            f"export {HOST}=nightjar.myshop.example",
        )
    return address


def _register(home: Home) -> Path:
    return home.root / "services.json"


def processes_with(token: str) -> Iterator[int]:
    """Ids of the living processes whose environment carries the token."""
    mark = f"{TOKEN}={token}".encode()
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if mark in path.read_bytes().split(b"\0"):  # a zombie's environment reads empty
                yield int(path.parent.name)


def write_secret(path: Path, text: str) -> None:
    """Replace a file that only its owner may read, in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)


def secret(home: Home, name: str) -> str:
    """A random string of this installation, made on first use. 32 bytes in URL-safe base64: also a Fernet key."""
    path = home.secrets / name
    if not path.exists():
        home.secrets.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = secrets.token_urlsafe(32)
        write_secret(path, key + "=" * (-len(key) % 4))
    return path.read_text(encoding="utf-8").strip()


def password_file(home: Home) -> Path:
    """Airflow's users and their passwords as JSON."""
    path = home.secrets / "airflow_passwords.json"
    home.secrets.mkdir(parents=True, exist_ok=True, mode=0o700)
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    missing = ROLES.keys() - known.keys()  # Airflow would invent them itself, and print them into its log
    if missing or path.stat().st_mode & 0o077:
        made = {user: secrets.token_urlsafe(18) for user in ROLES if user in missing}
        write_secret(path, json.dumps(known | made) + "\n")
    return path


def api(home: Home, running: Running) -> AirflowApi:
    password = json.loads(password_file(home).read_text(encoding="utf-8"))[USER]
    return AirflowApi(running.airflow_url, USER, password)


def turn_over(events: Path) -> None:
    """Put a file of events aside once it is large; the one that was put aside before it goes."""
    if events.exists() and events.stat().st_size > MAX_EVENTS_BYTES:
        events.replace(events.with_suffix(f".1{events.suffix}"))


def airflow_variables(home: Home, running: Running) -> dict[str, str]:
    """Airflow's whole configuration; there is no airflow.cfg to edit."""
    port, inside = running.airflow_port, running.airflow_url
    is_loopback = ipaddress.ip_address(running.listen).is_loopback
    outside = inside if is_loopback else f"http://{os.environ[HOST]}:{port}"
    events = {"type": "file", "log_file_path": str(home.airflow_events), "append": True}
    return {
        "AIRFLOW_HOME": str(home.root / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(CHECKOUT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(CHECKOUT / "dags" / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__FERNET_KEY": secret(home, "airflow_fernet_key"),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{inside}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{user}:{role}" for user, role in ROLES.items()),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(password_file(home)),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home.root / 'airflow' / 'airflow.db'}",
        "AIRFLOW__API__HOST": running.listen,
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": outside,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__SECRET_KEY": secret(home, "airflow_secret_key"),
        "AIRFLOW__API_AUTH__JWT_SECRET": secret(home, "airflow_jwt_secret"),
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home.root / "logs" / "airflow"),
        # One DAG file that rarely changes: look at the folder and parse it when something may have.
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "30",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "AIRFLOW__OPENLINEAGE__NAMESPACE": lineage.namespace(),
        "AIRFLOW__OPENLINEAGE__DISABLED": str(lineage.is_off()),
        **({} if lineage.is_elsewhere() else {"AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(events)}),
        "AIRFLOW_CONN_SPARK_NIGHTJAR": json.dumps({"conn_type": "spark", "host": _spark_master()}),
    }


def _spark_master() -> str:
    return os.environ.get("NIGHTJAR_SPARK_MASTER") or str(read_toml(CHECKOUT / "conf" / "base.toml")["spark"]["master"])


def environment(home: Home, running: Running, *, source: str, raw: str) -> dict[str, str]:
    """Everything the services and the jobs below them see."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW_")}
    return {
        **inherited,
        **airflow_variables(home, running),
        TOKEN: running.token,
        "NIGHTJAR_HOME": str(home.root),
        "NIGHTJAR_SCHEDULE": "on" if running.scheduled else "off",
        "NIGHTJAR_SCHEDULE_UNTIL": running.until,
        "NIGHTJAR_SOURCE": source,
        "NIGHTJAR_RAW": raw,
        **({"NIGHTJAR_MLFLOW_URL": f"http://127.0.0.1:{running.mlflow_port}"} if running.mlflow_port else {}),
        "JAVA_HOME": str(need_java()),
        "SPARK_HOME": spark_home(),
        "PATH": f"{ENVIRONMENTS / 'airflow' / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "PYTHONUNBUFFERED": "1",
        # A process title is written over the environment block, where we look for the token.
        "SPT_NOENV": "1",
    }


def spark_home() -> str:
    """Named outright because pyspark's own search breaks on paths with spaces."""
    found = next((ENVIRONMENTS / "jobs").glob("lib/python*/site-packages/pyspark"), None)
    if found is None:
        raise BadInput(f"no pyspark under {ENVIRONMENTS / 'jobs'}", "make setup")
    return str(found)


def start_airflow(
    home: Home,
    *,
    port: int,
    scheduled: bool,
    source: str,
    raw: str,
    mlflow_port: int | None = None,
    until: str = "",
) -> Running:
    """Migrate and start Airflow; return when all components are healthy.

    Runs that an interrupted night left behind are ended before the scheduler could resume them.

    Args:
        mlflow_port: where MLflow will be, for the tasks' buttons; None: nowhere.
        until: the last moment that the schedule covers, ISO 8601; empty: it has no end.
    """
    token, listen = secrets.token_hex(16), listening(LISTEN)
    running = Running(token, port, mlflow_port, scheduled=scheduled, until=until, listen=listen)
    need_port(port, "AIRFLOW_PORT", "Airflow", running.listen)
    variables = environment(home, running, source=source, raw=raw)
    migrate(home, variables)
    home.airflow_events.parent.mkdir(parents=True, exist_ok=True)
    turn_over(home.airflow_events)
    running.save(home)
    try:
        _spawn_airflow(home, running, "api-server", variables)
        _wait_healthy(home, running, "metadatabase")
        for run in api(home, running).unfinished_runs(DAG) if not scheduled else []:
            print(f"airflow: ending run {run}, which an interrupted night left behind", flush=True)
            api(home, running).end_run(DAG, run)
        for component in ("scheduler", "dag-processor"):
            _spawn_airflow(home, running, component, variables)
        _wait_healthy(home, running, "metadatabase", "scheduler", "dag_processor")
        _wait_for_dag(home, running)
    except BaseException:
        stop(home, running)
        raise
    return running


def migrate(home: Home, variables: Mapping[str, str]) -> None:
    """Create or upgrade Airflow's database, once per Airflow version: the check alone takes seconds."""
    done = home.root / "airflow" / "migrated"
    pins = (CHECKOUT / "conf" / "locks" / "airflow.txt").read_text(encoding="utf-8").splitlines()
    version = next(pin for pin in pins if pin.startswith("apache-airflow-core=="))
    if done.exists() and done.read_text(encoding="utf-8") == version:
        return
    log = _log(home, "migrate")
    done.parent.mkdir(parents=True, exist_ok=True)
    print(f"airflow: preparing its database ({version})", flush=True)
    with log.open("wb") as output:
        command = _airflow("db", "migrate")
        code = subprocess.run(command, env=variables, stdout=output, stderr=subprocess.STDOUT, check=False).returncode
    if code:
        raise BadInput(f"airflow db migrate failed\n  {_tail(log)}", f"less '{log}'")
    done.write_text(version, encoding="utf-8")


def _airflow(*arguments: str) -> list[str]:
    # -m, not the script: its first line would be longer than the kernel reads in deep checkouts.
    return [str(ENVIRONMENTS / "airflow" / "bin" / "python"), "-m", "airflow", *arguments]


def _spawn_airflow(home: Home, running: Running, component: str, variables: Mapping[str, str]) -> None:
    _spawn(home, running, component, _airflow(component, *COMPONENTS[component]), variables)


def _spawn(home: Home, running: Running, name: str, command: list[str], variables: Mapping[str, str]) -> None:
    with _log(home, name).open("wb") as output:
        # Their own session: Ctrl-C reaches us only, and we stop them in order.
        process = subprocess.Popen(
            command,
            env=dict(variables),
            cwd=home.root,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    running.processes[name] = process.pid
    running.save(home)


def _log(home: Home, name: str) -> Path:
    folder = home.root / "logs" / "services"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}.log"


def _tail(log: Path, lines: int = 12) -> str:
    return "\n  ".join(log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-lines:])


def check_alive(home: Home, running: Running) -> None:
    """Raise when a component has died.

    Raises:
        BadInput: names it and shows the end of its log.
    """
    alive = set(processes_with(running.token))
    for name, process in running.processes.items():
        if process not in alive:
            log = _log(home, name)
            raise BadInput(f"{name} has stopped; the end of its log:\n  {_tail(log)}", f"less '{log}'")


def _wait_healthy(home: Home, running: Running, *components: str) -> None:
    connection = api(home, running)
    if not wait_until(
        lambda: connection.is_healthy(*components), seconds=180, check=lambda: check_alive(home, running)
    ):
        raise BadInput(f"Airflow is not healthy after 180 s: {connection.health()}", f"ls {_log(home, 'x').parent}")


def _wait_for_dag(home: Home, running: Running) -> None:
    connection = api(home, running)

    def check() -> None:
        check_alive(home, running)
        if errors := connection.import_errors():
            raise BadInput(f"Airflow cannot import the DAG:\n  {errors[0].strip()}", "mend the cause, then run again")

    if not wait_until(lambda: all(map(connection.has_dag, (DAG, TRAINING))), seconds=120, check=check):
        raise BadInput(
            f"Airflow has not found its DAGs after 120 s: {DAG}, {TRAINING}", f"less '{_log(home, 'dag-processor')}'"
        )


def start_mlflow(home: Home, running: Running, port: int) -> None:
    """Start the MLflow server on the store that jobs write to directly."""
    address = listening(MLFLOW_LISTEN)
    need_port(port, "MLFLOW_PORT", "MLflow", address)
    (home.mlflow / "artifacts").mkdir(parents=True, exist_ok=True)
    command = [
        *(str(ENVIRONMENTS / "jobs" / "bin" / "python"), "-m", "mlflow", "server"),
        *("--host", address, "--port", str(port), "--workers", "1"),
        *("--allowed-hosts", ",".join(allowed_hosts(address, port))),
        *("--backend-store-uri", f"sqlite:///{home.mlflow / 'mlflow.db'}"),
        *("--artifacts-destination", (home.mlflow / "artifacts").as_uri()),
    ]
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW_", "MLFLOW_"))}
    running.mlflow_port = port
    _spawn(home, running, "mlflow", command, {**inherited, TOKEN: running.token, "SPT_NOENV": "1"})


def allowed_hosts(address: str, port: int) -> list[str]:
    """The names that MLflow answers to: it has no login, and no page of elsewhere may reach it by its own name."""
    names = ["localhost", LOOPBACK, "[::1]"]
    if not ipaddress.ip_address(address).is_loopback:
        names.append(os.environ[HOST])
    return [host for name in names for host in (name, f"{name}:{port}")]


def stop(home: Home, running: Running, patience_seconds: float = 15) -> None:
    """End every process that carries the token, politely, then by force.

    Raises:
        BadInput: some process survived both.
    """
    for send in (signal.SIGTERM, signal.SIGKILL):
        # Again and again: what dies may have started something in the meantime.
        deadline = time.monotonic() + patience_seconds
        told: set[int] = set()
        while (alive := set(processes_with(running.token))) and time.monotonic() < deadline:
            for process in alive - told:
                with suppress(ProcessLookupError):
                    os.kill(process, send)
            told |= alive
            _reap()
            time.sleep(0.2)
    if alive:
        raise BadInput(f"these processes do not stop: {sorted(alive)}", f"kill -9 {' '.join(map(str, sorted(alive)))}")
    _register(home).unlink(missing_ok=True)


def _reap() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def up(home: Home, *, airflow_port: int, mlflow_port: int, source: str, raw: str) -> Running:
    """Leave Airflow (with its schedule) and MLflow running."""
    load_source(source)
    running = Running.load(home)
    if running and (not running.scheduled or running.until):
        raise BadInput("a night is running and will stop its Airflow when it is done", "wait for it, then make ui")
    if running is None:
        need_port(mlflow_port, "MLFLOW_PORT", "MLflow", listening(MLFLOW_LISTEN))
        running = start_airflow(
            home, port=airflow_port, scheduled=True, source=source, raw=raw, mlflow_port=mlflow_port
        )
        for dag in (DAG, TRAINING):
            api(home, running).unpause(dag)
    if "mlflow" not in running.processes:
        start_mlflow(home, running, mlflow_port)
    return running


def describe(home: Home, running: Running) -> str:
    return (
        f"Airflow  {running.airflow_url}  users {', '.join(ROLES)}; passwords in {password_file(home)}\n"
        f"MLflow   http://127.0.0.1:{running.mlflow_port}\n"
        f"logs     {_log(home, 'x').parent}\n"
        "stop     make down"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Start or stop Airflow and MLflow.")
    parser.add_argument("action", choices=["up", "down"])
    parser.add_argument("--source", default="synthetic", help="the shop of the nightly schedule")
    parser.add_argument("--raw", default="", help="its raw logs")
    parser.add_argument("--airflow-port", type=int, default=8080)
    parser.add_argument("--mlflow-port", type=int, default=5000)
    args = parser.parse_args()
    home = Home.from_environment()
    try:
        if args.action == "down":
            down(home)
        else:
            raw = str(Path(args.raw).absolute()) if args.raw else ""
            ports = {"airflow_port": args.airflow_port, "mlflow_port": args.mlflow_port}
            print(describe(home, up(home, **ports, source=args.source, raw=raw)))
    except BadInput as error:
        sys.exit(f"{args.action}: {error}")


def down(home: Home) -> None:
    running = Running.load(home)
    if running is None:
        print("nothing is running")
        return
    stop(home, running)
    print(f"stopped {', '.join(running.processes)}")


if __name__ == "__main__":
    main()
