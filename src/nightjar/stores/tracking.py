"""Runs and registered models in MLflow; nobody else knows MLflow.

One experiment and one registered model per shop, both named `nightjar_<shop>`. The alias `champion`
points at the version that scores. A version is a folder of safetensors and JSON with a Python file
that reads it: nothing is pickled.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from nightjar.contracts import BadInput
from nightjar.settings import repository
from nightjar.stores.home import Home
from nightjar.stores.touched import TOUCHED, Outside

CHAMPION = "champion"

#: The address of a tracking server; without one a file below the home holds everything.
VARIABLE = "NIGHTJAR_MLFLOW_URI"

#: No telemetry, no guess at the requirements, no progress bars in logs, no advice on a missing git.
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_UV_AUTO_DETECT": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}

#: What loading a version needs; pinned to what is installed, because weights meet code.
REQUIREMENTS = ("mlflow", "numpy", "pandas", "pyarrow", "pydantic", "safetensors", "torch")


@dataclass(frozen=True)
class ModelVersion:
    """One version of a registered model."""

    name: str
    version: str
    run_id: str
    created: datetime  # UTC
    as_of: date  # the day whose end its training data knew
    digest: str  # SHA-256 of the model's files
    fingerprint: str  # of the data and settings it was trained with
    source: str  # MLflow's own address of the files


class Tracking:
    """The runs and models of one shop: of its recommender, or of one task that is foretold of people."""

    def __init__(self, home: Home, shop: str, task: str = "") -> None:
        self.folder, self.shop = home.mlflow, shop
        self.name = "_".join(["nightjar", shop, *([task] if task else [])])
        server = os.environ.get(VARIABLE)
        self._remote = bool(server)
        self.uri = server or f"sqlite:///{home.mlflow / 'mlflow.db'}"

    # -- runs

    @contextmanager
    def start_run(self, name: str, tags: Mapping[str, str] | None = None) -> Iterator[str]:
        """A run's id for the length of a `with`; it ends FINISHED, or FAILED after an error."""
        client = self._client()
        run = client.create_run(self._experiment(), run_name=name, tags={"shop": self.shop, **(tags or {})})
        try:
            yield run.info.run_id
        except BaseException:
            client.set_terminated(run.info.run_id, "FAILED")
            raise
        client.set_terminated(run.info.run_id, "FINISHED")

    def shared_run(self, name: str, key: str, value: str) -> str:
        """The id of the run with this tag, for others to stand below it; created FINISHED, for it does nothing itself.

        Callers see to it that no two ask for a new one at the same time.
        """
        client, experiment = self._client(), self._experiment()
        found = client.search_runs([experiment], f"tags.{key} = '{value}'", max_results=1)
        if found:
            return str(found[0].info.run_id)
        run = client.create_run(experiment, run_name=name, tags={"shop": self.shop, key: value})
        client.set_terminated(run.info.run_id, "FINISHED")
        return str(run.info.run_id)

    def end_lost_run(self, run_id: str) -> None:
        """Say of a run whose process is gone that it was killed."""
        self._client().set_terminated(run_id, "KILLED")

    def page(self, run_id: str) -> str:
        """Where MLflow's own pages show a run, below the server's address and `#/`."""
        return f"experiments/{self._experiment()}/runs/{run_id}"

    def log_params(self, run_id: str, params: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        self._client().log_batch(run_id, params=[Param(name, str(value)) for name, value in params.items()])

    def log_metrics(self, run_id: str, metrics: Mapping[str, float], *, step: int = 0) -> None:
        self.log_steps(run_id, [(step, metrics)])

    def log_steps(self, run_id: str, steps: Iterable[tuple[int, Mapping[str, float]]]) -> None:
        """Many steps' metrics, a thousand values per transaction; of a step given twice the later counts."""
        from mlflow.entities import Metric

        client, now = self._client(), int(datetime.now(UTC).timestamp() * 1000)
        last = {(_metric_name(name), step): float(value) for step, metrics in steps for name, value in metrics.items()}
        rows = [Metric(name, value, now, step) for (name, step), value in last.items()]
        for start in range(0, len(rows), 1000):
            client.log_batch(run_id, metrics=rows[start : start + 1000])

    def log_dict(self, run_id: str, value: Mapping[str, Any], file: str) -> None:
        """Keep a JSON value with the run under a file name that ends in .json."""
        self._client().log_dict(run_id, dict(value), file)

    # -- models

    def log_model(
        self, run_id: str, folder: Path, *, as_of: date, fingerprint: str, input_example: Mapping[str, list[Any]]
    ) -> ModelVersion:
        """Store a trained model's folder with the run and register it as the next version.

        MLflow loads what it stored and predicts the example once, so a version that cannot be served
        is never registered.

        Args:
            as_of: the day whose end the training data knew.
            fingerprint: names data and settings; `find` looks for it.
            input_example: columns of the model's input, a few rows, nobody's real history.
        """
        mlflow = self._mlflow()
        import pandas as pd

        with mlflow.start_run(run_id=run_id):
            # The file is loaded from its own copy; `nightjar` travels along as code.
            logged = mlflow.pyfunc.log_model(
                name=self.name,
                python_model=str(repository() / "jobs" / "served_model.py"),
                artifacts={path.name: str(path) for path in sorted(folder.iterdir())},
                code_paths=[str(repository() / "src" / "nightjar")],
                pip_requirements=[f"{name}=={installed_version(name)}" for name in REQUIREMENTS],
                signature=_signature(),
                input_example=pd.DataFrame(input_example),
            )
        return self._version_of(folder, run_id, logged.model_uri, as_of, fingerprint, logged.model_id)

    def log_files(self, run_id: str, folder: Path, *, as_of: date, fingerprint: str) -> ModelVersion:
        """Store a model's folder with the run as it is and register it as the next version, for Nightjar to read.

        Args:
            as_of, fingerprint: as of `log_model`.
        """
        client = self._client()
        client.log_artifacts(run_id, str(folder), "model/artifacts")
        address = f"{client.get_run(run_id).info.artifact_uri}/model"
        return self._version_of(folder, run_id, address, as_of, fingerprint, None)

    def _version_of(
        self, folder: Path, run_id: str, address: str, as_of: date, fingerprint: str, model_id: str | None
    ) -> ModelVersion:
        tags = {"shop": self.shop, "as_of": as_of.isoformat(), "digest": digest_of(folder), "fingerprint": fingerprint}
        client = self._client()
        self._register(client)
        created = client.create_model_version(
            self.name, address, run_id, tags=tags, model_id=model_id, await_creation_for=0
        )
        TOUCHED.targets[self._model] = None
        return _model_version(created)

    def champion(self) -> ModelVersion | None:
        """The version that scores; None while nothing was promoted."""
        if self._is_new:
            return None
        return self._found(lambda client: client.get_model_version_by_alias(self.name, CHAMPION))

    def version(self, version: str) -> ModelVersion:
        """One version by its number.

        Raises:
            BadInput: there is no such version.
        """
        found = self._found(lambda client: client.get_model_version(self.name, version))
        if found is None:
            raise BadInput(f"MLflow has no version {version} of {self.name}", "train again with --set train.force=true")
        return found

    def find(self, fingerprint: str) -> ModelVersion | None:
        """The latest version that was trained with these data and settings."""
        if self._is_new:
            return None
        rows = self._client().search_model_versions(f"name = '{self.name}' and tags.fingerprint = '{fingerprint}'")
        return max(map(_model_version, rows), key=lambda version: int(version.version), default=None)

    def download(self, version: ModelVersion | str) -> Path:
        """A local folder with the model's own files, as training saved them.

        Raises:
            BadInput: the files are gone, or are not the ones that were registered.
        """
        mlflow = self._mlflow()
        known = self.version(version) if isinstance(version, str) else version
        address = f"models:/{known.name}/{known.version}/artifacts"
        advice = "train again with --set train.force=true"
        try:
            folder = self._files(mlflow, address, known.digest)
        except (OSError, mlflow.exceptions.MlflowException) as error:
            raise BadInput(f"the files of {known.name} version {known.version} are gone: {error}", advice) from error
        if digest_of(folder) != known.digest:
            raise BadInput(f"the files of {known.name} version {known.version} have changed: {folder}", advice)
        TOUCHED.sources.add(self._model)
        return folder

    def promote(self, version: ModelVersion | str) -> None:
        """Let the alias `champion` point at this version; safe to repeat."""
        number = version if isinstance(version, str) else version.version
        self._client().set_registered_model_alias(self.name, CHAMPION, number)

    def delete_trainings(self, *, keep_versions: Collection[str], before: datetime) -> list[str]:
        """Delete trainings that began before an instant, their model versions and all of their files.

        The run goes last, so that a deletion that was killed is found again. MLflow itself keeps a deleted run's rows
        (`mlflow gc` removes them); what takes room are files, which it would keep as well.

        Args:
            keep_versions: a training with one of these stays whole.

        Returns:
            The versions that are gone.
        """
        if self._is_new:
            return []
        client, experiment = self._client(), self._experiment()
        oldest = int(before.timestamp() * 1000)
        gone: list[str] = []
        for run in list(_pages(client.search_runs, [experiment], f"attributes.start_time < {oldest}")):
            if "as_of" not in run.data.tags:  # a study's, or not ours
                continue
            versions = [
                str(found.version)
                for found in client.search_model_versions(f"name = '{self.name}' and run_id = '{run.info.run_id}'")
            ]
            if {*versions} & {*keep_versions}:
                continue
            for version in versions:
                client.delete_model_version(self.name, version)
            models = f"source_run_id = '{run.info.run_id}'"
            for model in client.search_logged_models([experiment], filter_string=models):
                self._delete_files(model.artifact_location)
                client.delete_logged_model(model.model_id)
            self._delete_files(run.info.artifact_uri)
            client.delete_run(run.info.run_id)
            gone += versions
        return gone

    def _delete_files(self, address: str) -> None:
        """Whatever kind of place it is; of a local one the folder around it goes too."""
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        folder = Path(unquote(urlparse(address).path))
        if urlparse(address).scheme not in ("", "file") or folder.exists():
            get_artifact_repository(address).delete_artifacts()
        if folder.is_relative_to(self.folder):
            with suppress(OSError):  # other files, or none
                folder.parent.rmdir()

    @property
    def _model(self) -> Outside:
        return Outside("mlflow", self.name, "The shop's registered model, all versions.")

    def _files(self, mlflow: Any, address: str, digest: str) -> Path:
        """The files where they are, or a server's copied below this home once, where a cluster's executors read too."""
        if not self._remote:
            return Path(mlflow.artifacts.download_artifacts(artifact_uri=address))
        folder = self.folder / "copies" / digest
        if not folder.exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder.parent) as draft:
                found = Path(mlflow.artifacts.download_artifacts(artifact_uri=address, dst_path=draft))
                with suppress(OSError):  # somebody else was first
                    found.rename(folder)
        return folder

    # -- MLflow

    @property
    def _is_new(self) -> bool:
        """Whether there is nothing to ask: looking would create the file."""
        return not self._remote and not (self.folder / "mlflow.db").exists()

    def _mlflow(self) -> Any:
        """MLflow, pointed at this home, and quiet."""
        os.environ.update(QUIET)
        for noisy in ("alembic", "mlflow.store.db.utils", "mlflow.pyfunc"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
        self.folder.mkdir(parents=True, exist_ok=True)
        import mlflow

        mlflow.set_tracking_uri(self.uri)
        mlflow.set_registry_uri(self.uri)
        return mlflow

    def _client(self) -> Any:
        return self._mlflow().MlflowClient(self.uri, self.uri)

    def _experiment(self) -> str:
        """The experiment's id; created with its artifacts below this home, or wherever the server keeps them."""
        client = self._client()
        found = client.get_experiment_by_name(self.name)
        if found is not None:
            return str(found.experiment_id)
        place = None if self._remote else (self.folder / "artifacts").as_uri()
        return str(client.create_experiment(self.name, place))

    def _register(self, client: Any) -> None:
        from mlflow.exceptions import MlflowException

        try:
            client.create_registered_model(self.name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _found(self, ask: Any) -> ModelVersion | None:
        client = self._client()
        from mlflow.exceptions import MlflowException

        try:
            return _model_version(ask(client))
        except MlflowException as error:
            # An unknown alias is INVALID_PARAMETER_VALUE, an unknown model or version RESOURCE_DOES_NOT_EXIST.
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise


def _pages(search: Callable[..., Any], *arguments: Any) -> Iterator[Any]:
    token = None
    while True:
        page = search(*arguments, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def digest_of(folder: Path) -> str:
    """SHA-256 over the names and contents of a folder's files."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            digest.update(f"{path.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


def _model_version(found: Any) -> ModelVersion:
    tags = found.tags
    created = datetime.fromtimestamp(found.creation_timestamp / 1000, UTC)
    as_of = date.fromisoformat(tags["as_of"])
    return ModelVersion(
        found.name, str(found.version), found.run_id, created, as_of, tags["digest"], tags["fingerprint"], found.source
    )


def _metric_name(name: str) -> str:
    """MLflow allows letters, digits and _-./: and space: `val_ndcg@10` becomes `val_ndcg_10`."""
    return "".join(letter if letter.isalnum() or letter in "_-./: " else "_" for letter in name)


def _signature() -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types.schema import Array, ColSpec, DataType, ParamSchema, ParamSpec, Schema

    items, scores = Array(DataType.string), Array(DataType.double)
    return ModelSignature(
        inputs=Schema([ColSpec(items, "item_ids")]),
        outputs=Schema([ColSpec(items, "item_ids"), ColSpec(scores, "scores")]),
        params=ParamSchema([ParamSpec("k", DataType.long, 20)]),
    )
