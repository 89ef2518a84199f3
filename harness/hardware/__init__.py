# SPDX-License-Identifier: Apache-2.0
"""Hardware that machines are made of. Knows no Linux."""

from __future__ import annotations

from collections.abc import Callable

from harness.hardware.constant_registers import ConstantRegisters
from harness.hardware.dsa import DsaFunction, IaaFunction
from harness.hardware.e1000e import E1000eFunction
from harness.hardware.edu import EduFunction
from harness.hardware.pci import PciFunction
from harness.hardware.pci_config import FunctionEntry

#: What builds a function, by the ``kind`` that a machine file gives it.
KINDS: dict[str, Callable[[FunctionEntry], PciFunction]] = {
    "function": PciFunction,
    "registers": ConstantRegisters,
    "dsa": DsaFunction,
    "e1000e": E1000eFunction,
    "edu": EduFunction,
    "iaa": IaaFunction,
}
