# SPDX-License-Identifier: Apache-2.0
"""Parents of mediated devices without any hardware: samples/vfio-mdev of the kernel, 6.1."""

from harness.drivers.samples.mbochs import MBOCHS
from harness.drivers.samples.mdpy import MDPY
from harness.drivers.samples.mtty import MTTY

MODULES = (MTTY, MDPY, MBOCHS)
