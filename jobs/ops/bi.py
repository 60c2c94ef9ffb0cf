"""Apache Superset on the warehouse: the dashboard of conf/bi, in an environment and a folder of its own.

The first call builds .envs/superset from its lock file. Superset's own database is under superset/ of NIGHTJAR_HOME,
its key and the password of `admin` under secrets/. Charts and dashboard are files in Superset's own format: what
is exported there can be put here. Data sets follow from the contracts, so that columns keep their comments.
Loading again replaces what these files say and leaves everything else that people made.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any
from zipfile import ZipFile

from jobs.ops.doctor import need_port
from jobs.ops.services import secret
from jobs.ops.setup import SUPERSET, setup

from nightjar.contracts import BadInput, Column, Ratio
from nightjar.contracts.render import WAREHOUSE_TYPES
from nightjar.settings import Publish, load_conf, repository
from nightjar.stores.home import Home
from nightjar.stores.warehouse import DuckDbFile, Postgres, Warehouse, open_warehouse
from nightjar.stores.warehouse.schema import WAREHOUSE_DAYS
from nightjar.stores.warehouse.views import views

ADMIN = "admin"
DASHBOARD = "/superset/dashboard/nightjar/"
FOLDER = repository() / "conf" / "bi"

#: Views that the charts read.
READ = (
    "v_freshness",
    "v_dim_nights",
    "v_daily_kpis",
    "v_funnels",
    "v_recommendations_current",
    "v_user_scores_current",
)


def identity(name: str) -> str:
    """The UUID that files call a view or the database by."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.nightjar"))


# -- what is loaded


def bundle(warehouse: Warehouse) -> bytes:
    """The ZIP that Superset imports: the database, the data sets, and the files of conf/bi. It may hold a password."""
    files = {"metadata.yaml": json.dumps({"version": "1.0.0", "type": "Dashboard", "timestamp": "2001-01-15T19:00:00"})}
    files["databases/nightjar.yaml"] = json.dumps(_database(warehouse))
    dialect = "duckdb" if isinstance(warehouse, DuckDbFile) else "postgres"
    for name, (doc, columns) in _readable(dialect).items():
        files[f"datasets/nightjar/{name}.yaml"] = json.dumps(_dataset(name, doc, columns, dialect))
    for path in sorted(FOLDER.glob("*/*.yaml")):
        files[str(path.relative_to(FOLDER))] = path.read_text(encoding="utf-8")
    packed = io.BytesIO()
    with ZipFile(packed, "w") as archive:
        for name, text in files.items():
            archive.writestr(f"nightjar/{name}", text)  # JSON is YAML
    return packed.getvalue()


def _database(warehouse: Warehouse) -> dict[str, Any]:
    """Read-only where the driver can promise it: DuckDB's file is replaced while Superset runs.

    Raises:
        BadInput: the warehouse is neither DuckDB nor PostgreSQL.
    """
    extra: dict[str, Any] = {}
    if isinstance(warehouse, DuckDbFile):
        uri = f"duckdb:///{warehouse.path}"
        extra = {"engine_params": {"connect_args": {"read_only": True}}}
    elif isinstance(warehouse, Postgres):
        uri = warehouse.uri.replace("postgres://", "postgresql://", 1)
    else:
        raise BadInput("Superset is set up for DuckDB and PostgreSQL only", 'make bi SET="publish.target=postgres"')
    return {
        "database_name": "nightjar",
        "sqlalchemy_uri": uri,
        "expose_in_sqllab": True,
        "allow_dml": False,
        "allow_csv_upload": False,
        "extra": extra,
        "uuid": identity("database"),
        "version": "1.0.0",
    }


def _readable(dialect: str) -> dict[str, tuple[str, Sequence[Column | Ratio]]]:
    """View -> what it says and its columns."""
    found: dict[str, tuple[str, Sequence[Column | Ratio]]] = {
        view.name: (view.doc, [column for column, _ in view.columns]) for view in views(dialect)
    }
    found |= {f"v_{table.name}": (table.doc, [*table.columns, *table.ratios]) for table in WAREHOUSE_DAYS}
    return {name: found[name] for name in READ}


def _dataset(name: str, doc: str, columns: Sequence[Column | Ratio], dialect: str) -> dict[str, Any]:
    types = WAREHOUSE_TYPES[dialect]
    kinds = {column.name: column.type if isinstance(column, Column) else "double" for column in columns}
    return {
        "table_name": name,
        "description": doc,
        "main_dttm_col": "dt" if "dt" in kinds else None,
        "columns": [
            {
                "column_name": column.name,
                "description": column.doc,
                "type": types[kinds[column.name]],
                "is_dttm": kinds[column.name] in ("date", "timestamp"),
                "groupby": True,
                "filterable": True,
            }
            for column in columns
        ],
        "metrics": [{"metric_name": "count", "metric_type": "count", "expression": "COUNT(*)"}],
        "uuid": identity(name),
        "database_uuid": identity("database"),
        "version": "1.0.0",
    }


# -- Superset


def variables(home: Home) -> dict[str, str]:
    """Its whole configuration; there is no superset_config.py to edit."""
    return {
        **os.environ,
        "FLASK_APP": "superset.app:create_app()",
        "SUPERSET_HOME": str(home.root / "superset"),
        "SUPERSET_SECRET_KEY": secret(home, "superset_secret_key"),
        "PATH": f"{SUPERSET.path / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }


def load(home: Home, publish: Publish) -> None:
    """Have Superset's database, its user, and the dashboard; again, it brings them up to date.

    Raises:
        BadInput: a command of Superset failed; carries the end of its log.
    """
    warehouse = open_warehouse(publish, home)
    with warehouse.reader():  # says what is missing before minutes are spent
        pass
    (home.root / "superset").mkdir(parents=True, exist_ok=True, mode=0o700)
    said = variables(home)
    password = secret(home, "superset_password")
    _superset(said, "db", "upgrade")
    _superset(said, "fab", "create-admin", *_named(ADMIN), typed=f"{password}\n{password}\n")
    _superset(said, "init")
    with tempfile.NamedTemporaryFile(suffix=".zip") as file:  # readable for its owner alone
        file.write(bundle(warehouse))
        file.flush()
        _superset(said, "import-dashboards", "--path", file.name, "--username", ADMIN)


def _named(user: str) -> list[str]:
    return ["--username", user, "--firstname", "Nightjar", "--lastname", "Admin", "--email", f"{user}@localhost"]


def _superset(said: Mapping[str, str], *command: str, typed: str = "") -> None:
    argv = [str(SUPERSET.path / "bin" / "superset"), *command]
    # Without a terminal of its own it reads the password from its input, and nobody sees it in a list of processes.
    done = subprocess.run(
        argv,
        env=dict(said),
        input=typed,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        check=False,
    )
    if done.returncode:
        tail = "\n  ".join(done.stdout.strip().splitlines()[-12:])
        raise BadInput(f"superset {' '.join(command[:2])} failed:\n  {tail}", "make bi")


def server(port: int) -> list[str]:
    """The command that serves, on this machine only."""
    workers = ("--workers", "1", "--worker-class", "gthread", "--threads", "4", "--timeout", "120")
    return [
        str(SUPERSET.path / "bin" / "gunicorn"),
        "--bind",
        f"127.0.0.1:{port}",
        *workers,
        "superset.app:create_app()",
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8088)
    parser.add_argument("--set", default="", help="settings, separated by spaces")
    args = parser.parse_args()
    home = Home.from_environment()
    try:
        need_port(args.port, "BI_PORT", "Superset")
        setup((SUPERSET,))
        load(home, load_conf(sets=args.set.split()).publish)
    except BadInput as error:
        print(error, file=sys.stderr)
        return 1
    print(f"Superset: http://127.0.0.1:{args.port}{DASHBOARD}")
    print(f"  user {ADMIN}, password in {home.secrets / 'superset_password'}; Ctrl-C stops it", flush=True)
    with suppress(KeyboardInterrupt):
        return subprocess.run(server(args.port), env=variables(home), check=False).returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
