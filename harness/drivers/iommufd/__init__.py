# SPDX-License-Identifier: Apache-2.0
"""iommufd: memory of programs for devices, of which it has as many sets as it likes
(drivers/iommu/iommufd, 6.12)."""

from harness.drivers.iommufd.module import MODULES

__all__ = ["MODULES"]
