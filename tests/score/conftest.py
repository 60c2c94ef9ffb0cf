"""Models on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import pytest
import torch
from tests.score.small_shop import save_small_model

from nightjar.score.recommend import Champion


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """As in a Spark worker; and on a busy machine threads wait for each other longer than such small products take."""
    torch.set_num_threads(1)


@pytest.fixture
def champion(tmp_path: Path) -> Callable[..., Champion]:
    """Save a model of these items and name it as version 3."""

    def save(items: Sequence[str], *, seed: int = 1, name: Literal["sasrec", "gru"] = "sasrec") -> Champion:
        folder = tmp_path / f"model-{name}-{seed}"
        save_small_model(folder, items, seed=seed, name=name)
        return Champion("nightjar_synthetic", "3", folder)

    return save
