"""Bills of materials, and the licence of everything that is locked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jobs.ops import sbom, setup

from nightjar.contracts import BadInput


def test_every_locked_package_has_a_licence_and_no_line_is_left_over() -> None:
    every = {name for environment in sbom.LOCKED for name in sbom.locked(environment)}
    known = sbom.licenses()
    assert known.keys() == every
    assert [name for name, licence in known.items() if licence in ("", "UNKNOWN")] == []


@pytest.mark.parametrize("environment", setup.ENVIRONMENTS, ids=lambda environment: environment.name)
def test_what_we_import_is_not_under_the_gpl(environment: setup.Environment) -> None:
    assert sbom.forbidden(environment) == []


@pytest.mark.parametrize(
    ("licence", "refused"),
    [
        ("GPL-3.0-only", True),
        ("AGPL-3.0-or-later", True),
        ("GNU General Public License v2 (GPLv2)", True),
        ("GNU Affero General Public License v3", True),
        ("LGPL-2.1-or-later", False),
        ("GNU Lesser General Public License v3 (LGPLv3)", False),
        ("MIT OR GPL-2.0-only", False),
        ("Apache-2.0", False),
        ("Artistic License; GNU General Public License (GPL)", True),  # a list of classifiers leaves open what it means
    ],
)
def test_which_licences_are_refused(licence: str, refused: bool) -> None:
    assert sbom.is_refused(licence) is refused


def test_a_licence_is_read_from_where_packages_say_it() -> None:
    assert sbom.licence_of({"license_expression": "MIT", "license": "x"}) == "MIT"
    classifiers = ["License :: OSI Approved", "License :: OSI Approved :: BSD License", "Topic :: Internet"]
    assert sbom.licence_of({"classifier": classifiers, "license": "x"}) == "BSD License"
    assert sbom.licence_of({"license": "\nApache 2.0\nand much more"}) == "Apache 2.0"
    assert sbom.licence_of({}) == ""


@pytest.mark.parametrize("environment", sbom.LOCKED, ids=lambda environment: environment.name)
def test_a_bill_lists_the_lock(environment: setup.Environment) -> None:
    bill = sbom.bill(environment)
    pins = {f"{name}=={version}" for name, version in sbom.locked(environment).items()}
    assert {f"{one['name']}=={one['version']}" for one in bill["components"]} == pins
    assert all(one["licenses"][0]["license"]["name"] for one in bill["components"])
    assert sbom.bill(environment) == bill


@pytest.mark.skipif(not setup.is_complete(setup.AUDIT), reason="no .envs/audit; make sbom builds it")
def test_a_bill_fits_the_schema_and_a_broken_one_does_not(tmp_path: Path) -> None:
    bill, path = sbom.bill(setup.AUDIT), tmp_path / "bill.json"
    path.write_text(json.dumps(bill))
    sbom.validate(path)
    path.write_text(json.dumps({**bill, "components": [{"name": "no type"}]}))
    with pytest.raises(BadInput, match=r"is no CycloneDX 1\.6"):
        sbom.validate(path)
