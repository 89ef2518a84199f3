# SPDX-License-Identifier: Apache-2.0
"""The profile's section ``vfio_pci``: how kernels differ (drivers/vfio/pci)."""

from __future__ import annotations

from attrs import frozen


@frozen
class VfioPciSection:
    """What later kernels have; false is 6.1.

    ``denylist`` are functions that the driver refuses. ``dynamic_msix``: vectors of MSI-X can be
    allocated one by one (6.5). ``sparse_vectors``: a range of vectors need not be allocated
    (6.5). ``negative_fd_refused``: an fd below -1 is an error for errors and requests (6.12).
    ``wide_access``: BARs are accessed in units of 8 bytes, too (6.12). ``route_checked``: a hot
    reset needs groups exactly if the device was opened through one (6.6). ``dvsec_visible``: users
    see the capability DVSEC (6.3). ``info_padded``: struct vfio_device_info ends with a pad (6.6).
    ``dma_buf``: BARs can be had as dmabufs (CONFIG_VFIO_PCI_DMABUF, 6.19).
    """

    denylist: tuple[str, ...] = ()
    dynamic_msix: bool = False
    sparse_vectors: bool = False
    negative_fd_refused: bool = False
    wide_access: bool = False
    route_checked: bool = False
    dvsec_visible: bool = False
    info_padded: bool = False
    dma_buf: bool = False
