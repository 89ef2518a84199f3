# SPDX-License-Identifier: Apache-2.0
"""What one version of the series "VFIO mediated device support for idxd" does, as data.

The series never was in a kernel. What is here was read in its mails and trees, and never seen
running. A *quirk* is what follows from the code and is clearly a mistake.
"""

from __future__ import annotations

from attrs import frozen


@frozen
class MdevTypeData:
    """A type: its name below the driver's, what ``name`` shows if not that, which kind of device
    has it (None: any), and whether its devices share a queue."""

    name: str
    text: str | None = None
    kind: str | None = None
    shared: bool = False


@frozen
class IdxdMdevSection:
    """The key ``mdev`` of the section ``idxd``.

    * ``quirks``: what is clearly a mistake is done all the same;
    * ``wq_driver``: queues are for mediated devices while the driver ``mdev`` has them, and a
      device is a parent while one of its queues is (v6); before, all devices are, and the queues
      are those of type mdev (v1 to v5);
    * ``queue_uuids``: a queue lists the UUIDs that it is for, in ``uuid`` (v1);
    * ``aux_domains``: the IOMMU must have domains for parts of a device (v2);
    * ``locks``: a dedicated queue with a device is ``locked``, not just ``disabled`` (v2);
    * ``reuses_locked``: a locked queue is free again without its device (OpenAnolis);
    * ``counts_enabled``: only enabled queues count as available (OpenAnolis);
    * ``sets_type``: the driver ``mdev`` takes any queue, and gives it its type (OpenAnolis).

    Quirks: up to v5, queues count that are not enabled, dedicated queues of any type are taken, and
    one that is locked stays so when its driver lets it go; v6 counts a client twice.
    """

    types: tuple[MdevTypeData, ...]
    quirks: bool
    wq_driver: bool = False
    queue_uuids: bool = False
    aux_domains: bool = True
    locks: bool = True
    reuses_locked: bool = False
    counts_enabled: bool = False
    sets_type: bool = False

    @property
    def takes_any_type(self) -> bool:
        """Whether dedicated queues of any type are given to devices (quirk of v2 to v5)."""
        return self.quirks and not self.wq_driver and not self.queue_uuids

    @property
    def counts_disabled(self) -> bool:
        """Whether a queue is available that is only configured (quirk of v1 to v6)."""
        return self.quirks and not self.counts_enabled

    @property
    def stays_locked(self) -> bool:
        """Whether a locked queue is not recovered (quirk of v2 to v5)."""
        return self.quirks and not self.wq_driver

    @property
    def clients_each(self) -> int:
        """By how much a new device raises a queue's count of clients (a quirk of v6: twice)."""
        return 2 if self.quirks and self.wq_driver and not self.reuses_locked else 1
