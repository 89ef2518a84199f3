# SPDX-License-Identifier: Apache-2.0
"""Commands of ioctl(2) that make an fd, as their result or inside a struct.

FUSE cannot give a program an fd, so the process mount has the host's kernel notify it of these:
the module whose files take them says so (:class:`harness.kernel.watched.Watched`).
Source: include/uapi/linux/vfio.h, include/uapi/linux/iommufd.h, 7.2.
"""

#: VFIO_GROUP_GET_DEVICE_FD.
VFIO_GROUP = frozenset({0x3B6A})
#: VFIO_DEVICE_GET_GFX_DMABUF and VFIO_DEVICE_FEATURE (the migration's data_fd, and dmabufs).
VFIO_DEVICE = frozenset({0x3B73, 0x3B75})
#: IOMMU_FAULT_QUEUE_ALLOC. IOMMU_VEVENTQ_ALLOC never gets so far.
IOMMUFD = frozenset({0x3B8E})
