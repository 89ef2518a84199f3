# SPDX-License-Identifier: Apache-2.0
"""What the parts of nvmet share: the profile's section and the module's state."""

from __future__ import annotations

import hashlib

from attrs import define, frozen

from harness.kernel.system import Kernel

DISCOVERY_NQN = "nqn.2014-08.org.nvmexpress.discovery"


@frozen
class NvmetSection:
    """The profile's section ``nvmet``: attributes of each kind of item in the order of their
    declaration, the version that a subsystem begins with, whether ports know the address family
    and the transport ``pci``, and whether two namespaces may have one number, written differently.
    A kernel without ``passthru`` has no such group. ``tls``: tcp can be secure
    (CONFIG_NVME_TARGET_TCP_TLS). ``several_cntlids``: the smallest number of a controller cannot be
    the largest as well (a run of 6.1)."""

    root: tuple[str, ...]
    subsystem: tuple[str, ...]
    namespace: tuple[str, ...]
    passthru: tuple[str, ...]
    port: tuple[str, ...]
    referral: tuple[str, ...]
    host: tuple[str, ...]
    version: str
    pci: bool = False
    unique_nsids: bool = False
    tls: bool = True
    several_cntlids: bool = False


@define(eq=False)
class Nvmet:
    """The module in one machine."""

    kernel: Kernel
    section: NvmetSection
    discovery_nqn: str = DISCOVERY_NQN
    _drawn: int = 0

    def random_bytes(self, count: int) -> bytes:
        """``count`` bytes, at most 64, of the machine's own randomness (get_random_bytes)."""
        self._drawn += 1
        text = f"nvmet {self.kernel.seed} {self._drawn}"
        return hashlib.blake2b(text.encode(), digest_size=count).digest()
