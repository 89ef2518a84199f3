# SPDX-License-Identifier: Apache-2.0
"""The idxd driver's objects on the bus ``dsa`` (drivers/dma/idxd).

The machine has one DSA 1.0 device: 8 work queues of 128 entries together, 4 engines, 4 groups, 96
read buffers, no shared virtual addressing. Recorded probes are from Linux 6.1.
"""
