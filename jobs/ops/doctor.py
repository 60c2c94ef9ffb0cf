"""What a machine must offer: Java for Spark, free ports. Standard library only."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from nightjar.contracts import BadInput

MIN_JAVA = 17
SPARK_MODULE = "jdk.incubator.vector"  # Spark's launcher names it; a JRE without it does not start

#: package manager -> how it installs, and the headless packages that bring Java, oldest first
PACKAGES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "apt-get": (("install", "-y", "--no-install-recommends"), ("openjdk-17-jre-headless", "openjdk-21-jre-headless")),
    "dnf": (("install", "-y"), ("java-17-openjdk-headless", "java-21-openjdk-headless")),
    "apk": (("add",), ("openjdk17-jre-headless", "openjdk21-jre-headless")),
    "zypper": (("--non-interactive", "install"), ("java-17-openjdk-headless", "java-21-openjdk-headless")),
    "pacman": (("-S", "--noconfirm"), ("jre17-openjdk-headless", "jre21-openjdk-headless")),
}


def find_java(environment: Mapping[str, str], folder: Path = Path("/usr/lib/jvm")) -> Path | None:
    """The home of the first Java that Spark can use: JAVA_HOME, then PATH, then `folder`."""
    return next((home for home in _candidates(environment, folder) if fits(home)), None)


def _candidates(environment: Mapping[str, str], folder: Path) -> Iterator[Path]:
    if environment.get("JAVA_HOME"):
        yield Path(environment["JAVA_HOME"])
    # An empty PATH means nothing here, but the current folder to shutil.which.
    if environment.get("PATH") and (found := shutil.which("java", path=environment["PATH"])):
        yield Path(found).resolve().parent.parent
    yield from sorted(folder.glob("*17*")) + sorted(folder.glob("*21*")) + sorted(folder.glob("*"))


def fits(home: Path) -> bool:
    """Whether `home` holds a Java of version 17 or newer with the module that Spark starts with."""
    java = home / "bin" / "java"
    if not java.is_file():
        return False
    version = java_version(_said(java, "-version"))
    return version is not None and version >= MIN_JAVA and SPARK_MODULE in _said(java, "--list-modules")


def java_version(text: str) -> int | None:
    """Read `java -version`: 17 of `openjdk version "17.0.9" 2023-10-17`, 8 of `"1.8.0_392"`."""
    found = re.search(r'version "(?:1\.)?(\d+)', text)
    return int(found.group(1)) if found else None


def _said(java: Path, flag: str) -> str:
    try:
        done = subprocess.run([java, flag], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr


def need_java(environment: Mapping[str, str] = os.environ, folder: Path = Path("/usr/lib/jvm")) -> Path:
    """Find Java, or install it when we may.

    Raises:
        BadInput: there is none and we may not, or could not, install one.
    """
    if home := find_java(environment, folder):
        return home
    manager = next((name for name in PACKAGES if _which(name, environment)), None)
    if manager and (prefix := privilege(environment)) is not None:
        _install(manager, prefix, environment)
        if home := find_java(environment, folder):
            return home
    raise BadInput(
        f"Spark needs Java {MIN_JAVA} or newer, and none was found in JAVA_HOME, PATH or {folder}", advice(manager)
    )


def advice(manager: str | None) -> str:
    """The one line that says what to install."""
    if manager is None:
        return f"install a Java {MIN_JAVA} runtime (OpenJDK, headless is enough) and set JAVA_HOME"
    flags, packages = PACKAGES[manager]
    return f"sudo {manager} {' '.join(flags)} {packages[0]}  # or set JAVA_HOME"


def privilege(environment: Mapping[str, str]) -> Sequence[str] | None:
    """What to put before a command that needs root: nothing for root, sudo where it asks no password, else None."""
    if os.geteuid() == 0:
        return ()
    sudo = _which("sudo", environment)
    if sudo and subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode == 0:
        return (sudo, "-n")
    return None


def _install(manager: str, prefix: Sequence[str], environment: Mapping[str, str]) -> None:
    flags, packages = PACKAGES[manager]
    variables = {**environment, "DEBIAN_FRONTEND": "noninteractive"}
    if manager == "apt-get":
        subprocess.run([*prefix, manager, "update", "-q"], env=variables, capture_output=True, check=False)
    for package in packages:
        print(f"setup: installing {package} with {manager}", flush=True)
        done = subprocess.run(
            [*prefix, manager, *flags, package], env=variables, capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            return
        print(
            f"setup: {manager} could not: {(done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]}", flush=True
        )


def _which(name: str, environment: Mapping[str, str]) -> str | None:
    return shutil.which(name, path=environment["PATH"]) if environment.get("PATH") else None


def need_port(port: int, variable: str, used_for: str, address: str = "127.0.0.1") -> None:
    """Check that `port` can be taken at `address`.

    Raises:
        BadInput: somebody listens there; names the make variable that chooses another.
    """
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise BadInput(
                f"port {port} for {used_for} is in use by another program ({error.strerror})",
                f"add {variable}={port + 1} to the make command",
            ) from error
