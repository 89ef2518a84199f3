# SPDX-License-Identifier: Apache-2.0
"""The functions of qemu-q35-sriov, and how virtual ones are made."""

from __future__ import annotations

from harness.conformance import Call
from harness.conformance.suites.pci._q35 import VFIO, device, give

MACHINE = "qemu-q35-sriov"
#: The physical function, and the first two that it makes.
PF, VF, OTHER_VF = "0000:00:07.0", "0000:00:07.1", "0000:00:07.2"
NUMVFS = f"{device(PF)}/sriov_numvfs"
_PARAMETER = "/sys/module/vfio_pci/parameters/enable_sriov"


def allow(call: Call) -> None:
    """Let vfio-pci have the physical function, and make others of it."""
    call.write_text(_PARAMETER, "Y")
    give(call, PF, VFIO)
