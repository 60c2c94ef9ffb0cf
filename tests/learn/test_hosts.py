"""Two hosts: processes that share a folder and nothing else but a network cable."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.learn import train_once
from tests.learn.sequence_files import successions, write_sequences

from nightjar.learn.parallel import TORCHRUN_ENVIRONMENT

SCRIPT = Path(train_once.__file__)
ROOT = SCRIPT.parents[2]
PORT = 29400


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@pytest.fixture
def hosts() -> Iterator[list[tuple[str, str, str]]]:
    """Name, network device and address of two hosts: network namespaces joined by a pair of virtual devices."""
    mark = os.getpid() % 100_000
    found = [(f"nightjar{mark}{side}", f"nj{mark}{side}", f"10.213.7.{n}") for n, side in enumerate("ab", start=1)]
    try:
        for name, _, _ in found:
            ip("netns", "add", name)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"network namespaces need root and iproute2: {error}")
    try:
        (first, one, _), (_, other, _) = found
        ip("-n", first, "link", "add", one, "type", "veth", "peer", "name", other)
        ip("-n", first, "link", "set", other, "netns", found[1][0])
        for name, device, address in found:
            ip("-n", name, "addr", "add", f"{address}/24", "dev", device)
            for link in ("lo", device):
                ip("-n", name, "link", "set", link, "up")
        yield found
    finally:
        for name, _, _ in found:
            subprocess.run(["ip", "netns", "del", name], check=False)


def start(host: tuple[str, str, str], meeting: str, folder: Path, changes: dict[str, object]) -> subprocess.Popen[str]:
    name, device, address = host
    torchrun = ["-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1", "--max-restarts", "2"]
    meet = ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"{meeting}:{PORT}", "--rdzv-id", "test"]
    # Which host keeps the list of hosts follows from its name where names differ; here both have this machine's.
    meet += ["--rdzv-conf", f"is_host={str(address == meeting).lower()}", "--local-addr", address]
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}",
        "OMP_NUM_THREADS": "1",
        **TORCHRUN_ENVIRONMENT,
        "GLOO_SOCKET_IFNAME": device,
    }
    command = [sys.executable, *torchrun, *meet, str(SCRIPT), str(folder), json.dumps(changes)]
    return subprocess.Popen(["ip", "netns", "exec", name, *command], env=environment, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_two_hosts_agree_with_one_process_and_outlive_a_killed_one(
    tmp_path: Path, hosts: list[tuple[str, str, str]]
) -> None:
    rows = successions(182, num_items=40, seed=1)
    for folder in (tmp_path / "alone", tmp_path / "together"):
        folder.mkdir()
        write_sequences(folder / "part-0.parquet", rows, row_group_size=40)
    training = {"epochs": 2}
    train_once.main(tmp_path / "alone", **training)  # type: ignore[arg-type]
    disturbed = {**training, "kill_at": 19, "kill_rank": 1}
    processes = [start(host, hosts[0][2], tmp_path / "together", disturbed) for host in hosts]
    said = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(text[-3000:] for text in said)
    assert (tmp_path / "together" / "killed").exists()
    together = load_file(tmp_path / "together" / "weights.safetensors")
    for name, tensor in load_file(tmp_path / "alone" / "weights.safetensors").items():
        torch.testing.assert_close(together[name], tensor, atol=1e-4, rtol=1e-3, msg=name)
