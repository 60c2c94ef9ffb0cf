"""Make what a deployment keeps secret: `python3 docker/scripts/make_secrets.py [FOLDER]`; what is there stays.

Standard library only: a host with Docker need not have more. Compose mounts the files as they are, and its containers
run as other users than whoever made them; so the files can be read by all, and the folder entered by its owner only.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path

DEFAULT = Path(__file__).resolve().parents[1] / "secrets"
HOST = "postgres:5432"  # as compose.yaml calls it

#: Their roles stand in compose.yaml and in the chart's values.
AIRFLOW_USERS = ("admin", "operator", "viewer")

#: file -> its content, which may use files before it
SECRETS: dict[str, Callable[[Callable[[str], str]], str]] = {
    "postgres_password": lambda _: secrets.token_urlsafe(24),
    "airflow_password": lambda _: secrets.token_urlsafe(24),
    "mlflow_password": lambda _: secrets.token_urlsafe(24),
    "warehouse_password": lambda _: secrets.token_urlsafe(24),
    "airflow_database_uri": lambda kept: f"postgresql+psycopg2://airflow:{kept('airflow_password')}@{HOST}/airflow",
    "mlflow_database_uri": lambda kept: f"postgresql+psycopg2://mlflow:{kept('mlflow_password')}@{HOST}/mlflow",
    "warehouse_uri": lambda kept: f"postgresql://warehouse:{kept('warehouse_password')}@{HOST}/warehouse",
    "airflow_fernet_key": lambda _: secrets.token_urlsafe(32) + "=",  # 32 bytes are 43 letters and the padding
    "airflow_secret_key": lambda _: secrets.token_urlsafe(32),
    "airflow_jwt_secret": lambda _: secrets.token_urlsafe(32),
    "airflow_passwords": lambda _: json.dumps({user: secrets.token_urlsafe(18) for user in AIRFLOW_USERS}),
    "pseudonym_key": lambda _: secrets.token_hex(32),
    "spark_secret": lambda _: secrets.token_urlsafe(32),
}


def make(folder: Path) -> list[str]:
    """Write what is missing; returns the names of the new files."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    made = []
    for name, content in SECRETS.items():
        path = folder / name
        if path.exists():
            continue
        draft = path.with_name(f".{name}.{os.getpid()}")
        draft.write_text(content(lambda other: (folder / other).read_text(encoding="utf-8")), encoding="utf-8")
        draft.chmod(0o444)
        draft.rename(path)
        made.append(name)
    return made


if __name__ == "__main__":
    place = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT
    new = make(place)
    print(f"{place}: {', '.join(new) or 'nothing to make'}")  # noqa: T201 - the command's answer
