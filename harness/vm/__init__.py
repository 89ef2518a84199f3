# SPDX-License-Identifier: Apache-2.0
"""Real kernels in virtual machines, and our hardware in them."""
