# SPDX-License-Identifier: Apache-2.0
"""What the idxd driver of one kernel has of its own: the profile's section ``idxd``."""

from __future__ import annotations

from attrs import field, frozen, validators

from harness.drivers.idxd.mdev_section import IdxdMdevSection

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
    all; ``system_pasid`` whether the driver gets a PASID for the kernel's own work. The others say
    what this driver has that the one of 6.1 has not:

    * ``bus_uevent``: MODALIAS in the uevents of the bus (idxd_bus_uevent);
    * ``errors_bitmap``: ``errors`` as a bitmap (errors_show);
    * ``event_log``: the event log and ``event_log_size`` (idxd_init_evl);
    * ``iaa_cap``, ``dsacaps``: attributes for the capabilities of newer devices;
    * ``rdbufs_allowed_all``: a group may use all read buffers unless it is told otherwise, and what
      it is told is taken as it is (idxd_setup_groups, idxd_group_flags_setup);
    * ``wq_driver_name``: a queue names the driver that may have it (idxd_wq_driver_name_match);
    * ``wq_prs_disable``: page requests can be turned off for a queue, and translation only where
      the device can do without (wq_prs_disable_store, wq_ats_disable_store);
    * ``kernel_wq_pasid``: kernel queues may have names with a PASID, and work as users do
      (wq_name_store, idxd_drv_enable_wq, idxd_set_user_intr);
    * ``cdev_files``: an open queue is a device too (idxd_cdev_file_type);
    * ``iaa_defaults``: IAA comes configured for crypto (idxd_load_iaa_device_defaults);
    * ``iaa_crypto``: there is the module, with the driver ``crypto`` (iaa_crypto_init_module);
    * ``user_pasid_always``: programs' queues do not wait for the IOMMU (idxd_probe, 7.2);
    * ``batch_unsafe_v1_only``: batches are held back on version 1 alone (op_cap_show_common, 7.2);
    * ``wq_disable_drains``: queues are disabled by draining and resetting (idxd_wq_disable, 7.2);
    * ``flr_restore``: the configuration outlives a function level reset, which a halted device is
      given (idxd_reset_prepare, idxd_reset_done, idxd_device_flr, 7.2).

    And what kernels have that are older:

    * ``one_driver``: the driver ``dsa`` takes devices and queues (idxd_config_bus_probe, 5.8);
    * ``software_status``: whether cmd_status says what the driver itself found wrong (5.14);
    * ``cdev_minor_always``: a queue without a character device has the minor -1 (5.8);
    * ``absent``: names of attributes that came later;
    * ``mdev``: the series that made accelerators parents of mediated devices.
    """

    devices: tuple[IdxdDriverData, ...]
    sva_bind: bool
    system_pasid: bool
    bus_uevent: bool = False
    errors_bitmap: bool = False
    event_log: bool = False
    iaa_cap: bool = False
    dsacaps: bool = False
    rdbufs_allowed_all: bool = False
    wq_driver_name: bool = False
    wq_prs_disable: bool = False
    kernel_wq_pasid: bool = False
    cdev_files: bool = False
    iaa_defaults: bool = False
    iaa_crypto: bool = False
    user_pasid_always: bool = False
    batch_unsafe_v1_only: bool = False
    wq_disable_drains: bool = False
    flr_restore: bool = False
    one_driver: bool = False
    software_status: bool = True
    cdev_minor_always: bool = False
    absent: frozenset[str] = frozenset()
    mdev: IdxdMdevSection | None = None
