"""A Great Expectations context that leaves nothing on disk but what it is told to."""

from __future__ import annotations

import os
import threading
import warnings
from pathlib import Path
from typing import Any


def ephemeral_context(store: Path | None = None) -> Any:
    """A context without a project on disk, telemetry or progress bars.

    Args:
        store: folder for suites and results; None keeps them in memory.
    """
    # Read at import: Great Expectations would else send usage events home.
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import great_expectations as gx
        from great_expectations.data_context.types.base import (
            DataContextConfig,
            InMemoryStoreBackendDefaults,
            ProgressBarsConfig,
        )

    defaults = InMemoryStoreBackendDefaults()
    if store is not None:
        for name in (defaults.expectations_store_name, defaults.validation_results_store_name):
            defaults.stores[name]["store_backend"] = _files(store / name)
    return gx.get_context(
        mode="ephemeral",
        project_config=DataContextConfig(
            store_backend_defaults=defaults, progress_bars=ProgressBarsConfig(globally=False), analytics_enabled=False
        ),
    )


def preload() -> None:
    """Import Great Expectations beside whatever the caller does next.

    It takes 4 s, most of a check's time; a job that calls this first has it done while Spark works.
    """
    threading.Thread(target=ephemeral_context, name="import of great_expectations").start()


def _files(folder: Path) -> dict[str, str]:
    return {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder)}
