# SPDX-License-Identifier: Apache-2.0
"""What is recorded of the kernel's selftests/vfio is what a real kernel does."""

import json

import pytest

from harness import data
from harness.packages import PackagesError, silent
from harness.selftests.build import build, programs
from harness.selftests.command import in_virtual_machine
from harness.selftests.run import outcomes


@pytest.mark.timeout(900)
def test_the_recording_is_right(kernel):
    path = data.data_path("fixtures", "golden", "selftests") / f"{kernel.name}.json"
    if not path.exists():
        pytest.skip(f"selftests/vfio were never recorded on {kernel.name}")
    recorded = json.loads(path.read_text())
    try:
        folder = build(silent)
    except PackagesError as error:
        pytest.skip(str(error))
    machine, slots = recorded["machine"], recorded["slots"]
    run = in_virtual_machine(machine, kernel.name)
    found = run(folder, slots, programs(folder), silent)
    assert outcomes(found) == recorded["programs"]
