# SPDX-License-Identifier: Apache-2.0
"""The profile's section ``samples``: how the samples of kernels differ (samples/vfio-mdev)."""

from __future__ import annotations

from attrs import frozen


@frozen
class SamplesSection:
    """What later kernels have: ``mtty_irqs``, mtty has interrupts as vfio-pci has them, and INTx
    is masked by itself (6.8); ``mtty_migration`` (6.8); ``mbochs_region_caps``, mbochs tells of its
    EDID region as vfio-pci does of its own (6.19)."""

    mtty_irqs: bool = False
    mtty_migration: bool = False
    mbochs_region_caps: bool = False
