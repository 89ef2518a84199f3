# SPDX-License-Identifier: Apache-2.0
"""What VFIO of one kernel has of its own: the profile's section ``vfio``."""

from __future__ import annotations

from attrs import frozen


@frozen
class VfioSection:
    """The section ``vfio``.

    * ``iommufd_aware``: a file that is no container is EBADFD to a group
      (vfio_group_ioctl_set_container, 6.2);
    * ``nesting``: type1 says that it has type 6, which fails (vfio_iommu_type1_check_extension,
      to 6.12);
    * ``info_padded``: struct vfio_iommu_type1_info is written with its padding
      (vfio_iommu_type1_get_info, 6.6);
    * ``info_cap_align``: the size of a capability is rounded up to this (vfio_info_cap_add);
    * ``dma_overflow``: ranges that wrap are told from other bad ones: EOVERFLOW
      (vfio_dma_do_map, vfio_dma_do_unmap, vfio_iommu_type1_dirty_pages, 6.18);
    * ``mig_data_size``: the size of a migration's data can be asked for
      (vfio_ioctl_device_feature_migration_data_size, 6.2);
    * ``precopy_info_v2``: a program can ask for flags with what is left to copy in advance
      (vfio_ioctl_device_feature_migration_precopy_info_v2, 7.1);
    * ``iova_bitmap``: what a device logged can be reported (CONFIG_IOMMUFD_DRIVER, 6.7);
    * ``device_cdev``: devices have nodes of their own (CONFIG_VFIO_DEVICE_CDEV, 6.6);
    * ``bind_token``: binding to an iommufd takes and wants the token of a virtual function
      (vfio_df_check_token, 6.17);
    * ``pasid_attach``: a device can be attached for one PASID (vfio_df_ioctl_attach_pt, 6.15);
    * ``hidden_before_wait``: a device that is unregistered is hidden first, and then waited for
      (vfio_unregister_group_dev, 6.6);
    * ``iommu_first_open``: whether a program may use the IOMMU is asked when a device is opened
      first, not each time (vfio_df_device_first_open, 6.2);
    * ``device_inodes``: devices have inodes of a file system, which holds the module while there
      are any (vfio_fs_inode_new, 6.10);
    * ``noiommu``: there is a mode without an IOMMU, and its parameter (CONFIG_VFIO_NOIOMMU).
    """

    iommufd_aware: bool = False
    nesting: bool = False
    info_padded: bool = False
    info_cap_align: int = 1
    dma_overflow: bool = False
    mig_data_size: bool = False
    precopy_info_v2: bool = False
    iova_bitmap: bool = False
    device_cdev: bool = False
    bind_token: bool = False
    pasid_attach: bool = False
    iommu_first_open: bool = False
    device_inodes: bool = False
    noiommu: bool = False
    hidden_before_wait: bool = False
