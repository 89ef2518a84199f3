# SPDX-License-Identifier: Apache-2.0
"""What the idxd driver of one kernel has of its own: the profile's section ``idxd``."""

from __future__ import annotations

from attrs import field, frozen, validators

#: Bytes to which a completion record's address is aligned, by kind.
ALIGN = {"dsa": 32, "iax": 64}


@frozen
class IdxdDriverData:
    """One entry of the driver's table (struct idxd_driver_data).

    ``id`` is ``VENDOR:DEVICE``, ``kind`` the type and the prefix of names, ``dsa`` or ``iax``.
    ``user_submission_safe`` says whether programs may use portals and batches as they like.
    """

    id: str
    kind: str = field(validator=validators.in_(ALIGN))
    user_submission_safe: bool

    @property
    def is_iax(self) -> bool:
        """IDXD_TYPE_IAX."""
        return self.kind == "iax"

    @property
    def align(self) -> int:
        """Of completion records, in bytes."""
        return ALIGN[self.kind]


@frozen
class IdxdSection:
    """The section ``idxd``.

    ``sva_bind`` says whether this kernel's IOMMU code lets a device share a program's memory at
    all; ``system_pasid`` whether the driver gets a PASID for the kernel's own work.
    """

    devices: tuple[IdxdDriverData, ...]
    sva_bind: bool
    system_pasid: bool
