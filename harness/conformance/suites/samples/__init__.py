# SPDX-License-Identifier: Apache-2.0
"""The kernel's mdev samples in a program's hands (samples/vfio-mdev).

mtty is a serial port that echoes, and that migrates from 6.8 on; mdpy is a display,
and so is mbochs, whose mode and monitor can be set. None does DMA of its own.
"""
