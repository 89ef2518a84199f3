# SPDX-License-Identifier: Apache-2.0
"""A kernel with nothing in it, and a caller, for tests of the kernel floor."""

import pytest

from harness.kernel.profile import Profile
from harness.kernel.system import Kernel
from harness.kernel.task import LocalCaller


@pytest.fixture
def kernel():
    section = {"release": "6.1.0", "version": "#1", "chrdev_major": 245}
    return Kernel(Profile("test", {"kernel": section}))


@pytest.fixture
def caller():
    return LocalCaller()
