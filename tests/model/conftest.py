# SPDX-License-Identifier: Apache-2.0
"""A caller, for tests of the kernel floor."""

import pytest

from harness.kernel.task import LocalCaller


@pytest.fixture
def caller():
    return LocalCaller()
