# SPDX-License-Identifier: Apache-2.0
"""An in-process mount, for whoever tests it and whoever tests tools in it."""

import pytest

from harness.kernel.profile import Profile
from harness.kernel.system import Kernel
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


@pytest.fixture
def kernel():
    """A kernel with nothing in it."""
    section = {
        "release": "6.1.0",
        "version": "#1",
        "chrdev_major": 245,
        "builder": "nobody",
        "eventfd_write_exact": False,
        "anon_inode_noexec": False,
    }
    sections = {"kernel": section, "iommu": {"type_needs_unowned": False}}
    return Kernel(Profile("test", sections))
