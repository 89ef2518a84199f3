# SPDX-License-Identifier: Apache-2.0
"""Real kernels in virtual machines: what they are booted from, and how programs run in them."""
