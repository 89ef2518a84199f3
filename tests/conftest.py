# SPDX-License-Identifier: Apache-2.0
"""An in-process mount, for whoever tests it and whoever tests tools in it."""

import pytest

from harness.machine import load_machine


@pytest.fixture
def machine():
    return load_machine("spr-2s")


@pytest.fixture
def mount(machine):
    # Not at the top: the benchmarks, which also get this file, do without pyfakefs.
    from harness.mounts.inprocess import InProcessMount

    with InProcessMount(machine) as mount:
        yield mount
    assert machine.leaks() == []
