# SPDX-License-Identifier: Apache-2.0
"""An in-process mount, for whoever tests it and whoever tests tools in it."""

import pytest

from harness.machine import load_machine
from harness.mounts.inprocess import InProcessMount


@pytest.fixture
def machine():
    return load_machine("spr-2s")


@pytest.fixture
def mount(machine):
    with InProcessMount(machine) as mount:
        yield mount
    assert machine.leaks() == []
