from __future__ import annotations

import socket
from pathlib import Path

import pytest
from jobs.ops import doctor

from nightjar.contracts import BadInput


def fake_java(home: Path, version: str, module: str = "jdk.incubator.vector@17") -> Path:
    """A Java that answers the two questions the doctor asks."""
    java = home / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(
        f'#!/bin/sh\nif [ "$1" = -version ]; then echo \'openjdk version "{version}" x\' >&2; else echo {module}; fi\n'
    )
    java.chmod(0o755)
    return home


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ('openjdk version "17.0.9" 2023-10-17', 17),
        ('java version "1.8.0_392"', 8),
        ('openjdk version "21" 2023-09-19', 21),
        ("command not found", None),
    ],
)
def test_java_version(text: str, version: int | None) -> None:
    assert doctor.java_version(text) == version


def test_java_home_comes_before_path_and_folder(tmp_path: Path) -> None:
    named, folder = fake_java(tmp_path / "named", "17.0.1"), tmp_path / "jvm"
    fake_java(folder / "java-17", "17.0.2")
    on_path = fake_java(tmp_path / "path", "21.0.1")
    environment = {"JAVA_HOME": str(named), "PATH": str(on_path / "bin")}
    assert doctor.find_java(environment, folder) == named
    assert doctor.find_java({"PATH": str(on_path / "bin")}, folder) == on_path
    assert doctor.find_java({}, folder) == folder / "java-17"


def test_unfit_javas_are_passed_over(tmp_path: Path) -> None:
    old = fake_java(tmp_path / "old", "11.0.2")
    fake_java(tmp_path / "jvm" / "a-java-17", "17.0.1", module="java.base@17")
    fit = fake_java(tmp_path / "jvm" / "b-java-17", "17.0.1")
    assert doctor.find_java({"JAVA_HOME": str(old)}, tmp_path / "jvm") == fit


def test_no_java_and_no_way_to_install_one_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        doctor.need_java({"PATH": ""}, tmp_path)
    assert str(caught.value) == (
        f"Spark needs Java 17 or newer, and none was found in JAVA_HOME, PATH or {tmp_path}\n"
        "  next: install a Java 17 runtime (OpenJDK, headless is enough) and set JAVA_HOME"
    )


def test_advice_is_the_package_managers_command() -> None:
    assert doctor.advice("dnf") == "sudo dnf install -y java-17-openjdk-headless  # or set JAVA_HOME"


def test_a_manager_that_fails_ends_with_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    apk = tmp_path / "apk"
    apk.write_text('#!/bin/sh\necho "no such package: $2" >&2\nexit 1\n')
    apk.chmod(0o755)
    monkeypatch.setattr(doctor.os, "geteuid", lambda: 0)
    with pytest.raises(BadInput, match="sudo apk add openjdk17-jre-headless"):
        doctor.need_java({"PATH": str(tmp_path)}, tmp_path / "jvm")
    assert "no such package: openjdk21-jre-headless" in capfd.readouterr().out


def test_port_in_use_names_the_variable() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(BadInput) as caught:
            doctor.need_port(port, "AIRFLOW_PORT", "Airflow")
    assert caught.value.problem.startswith(f"port {port} for Airflow is in use by another program")
    assert caught.value.next_command == f"add AIRFLOW_PORT={port + 1} to the make command"
    doctor.need_port(port, "AIRFLOW_PORT", "Airflow")
