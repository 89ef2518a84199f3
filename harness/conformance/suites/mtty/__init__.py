# SPDX-License-Identifier: Apache-2.0
"""mtty in a program's hands: a serial port that echoes, and that migrates from 6.8 on.

The sample of the kernel (samples/vfio-mdev/mtty.c), a mediated device without DMA of its own.
"""
