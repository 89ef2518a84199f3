# SPDX-License-Identifier: Apache-2.0
"""The kernel's own selftests/vfio do in a fake machine what they did on real kernels."""

import json
from pathlib import Path

import jsonschema
import pytest

import harness.selftests
from harness import data
from harness.packages import PackagesError, silent
from harness.selftests.build import build, programs
from harness.selftests.command import in_fake_machine
from harness.selftests.run import outcomes

RECORDED = data.data_path("fixtures", "golden", "selftests")
PROFILES = sorted(path.name.removesuffix(".json") for path in RECORDED.iterdir())
SCHEMA = Path(harness.selftests.__file__).parent / "selftests.schema.json"


@pytest.fixture(scope="session")
def built():
    try:
        return build(silent)
    except PackagesError as error:
        pytest.skip(str(error))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("profile", PROFILES)
def test_they_end_as_on_the_kernel(built, profile):
    recorded = json.loads((RECORDED / f"{profile}.json").read_text())
    jsonschema.validate(recorded, json.loads(SCHEMA.read_text()))
    machine, slots = recorded["machine"], recorded["slots"]
    found = in_fake_machine(machine, profile)(built, slots, programs(built), silent)
    assert outcomes(found) == recorded["programs"]


def test_on_a_kernel_with_iommufd_none_fails():
    recorded = json.loads((RECORDED / "7.2+iommufd.json").read_text())
    every = [state for cases in recorded["programs"].values() for state in cases.values()]
    assert every.count("fail") == 0
    assert every.count("pass") > 40


@pytest.mark.timeout(600)
def test_tokens_of_virtual_functions(built):
    """There is no recording of these: QEMU's function takes its virtual ones away when it is reset,
    and a real kernel then waits for a minute until it opens one (seen on 6.1); a test of theirs may
    take half of that."""
    name = "vfio_pci_sriov_uapi_test"
    run = in_fake_machine("qemu-q35-sriov", "7.2+iommufd")
    (states,) = outcomes(run(built, ["0000:00:07.0"], [name], silent)).values()
    assert set(states.values()) == {"pass"}
    assert len(states) == 45
