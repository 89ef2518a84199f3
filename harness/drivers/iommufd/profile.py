# SPDX-License-Identifier: Apache-2.0
"""What the profile says of iommufd."""

from __future__ import annotations

from attrs import frozen

from harness.uapi import iommufd as u


@frozen
class IommufdSection:
    """The profile's section ``iommufd``: whether the kernel has it, and the minor of its node.

    The minor is a dynamic one, so it depends on what else the kernel has. What later kernels have:

    * ``mappable``: queues of the hardware could be mapped (iommufd_fops_mmap, 6.17);
    * ``last_command``: the highest number of a command, of which there are no gaps;
    * ``hwpt_flags``: what IOMMU_HWPT_ALLOC takes for any page table (a run of 6.12 and of 7.2;
      intel_iommu_domain_alloc_second_stage), and ``nested_flags``, for a nested one;
    * ``address_first``: an address that overflows is found before a length that is too large
      (iopt_alloc_user_pages, 6.13; a run of 6.12 and of 7.2);
    * ``viommus``: something other than a page table can be meant by the number of one
      (iommufd_hwpt_invalidate, 6.13);
    * ``empty_bitmap``: GET_DIRTY_BITMAP of no bytes is no error by itself (a run of 7.2);
    * ``hw_info_type``: IOMMU_GET_HW_INFO can be asked for a type (6.18);
    * ``hw_info_ats``: it says which functions have no ATS (7.1).
    """

    present: bool = False
    minor: int = 126
    mappable: bool = False
    last_command: int = u.IOMMUFD_CMD_FAULT_QUEUE_ALLOC
    hwpt_flags: int = 0
    nested_flags: int = u.IOMMU_HWPT_FAULT_ID_VALID
    address_first: bool = False
    viommus: bool = False
    empty_bitmap: bool = False
    hw_info_type: bool = False
    hw_info_ats: bool = False
