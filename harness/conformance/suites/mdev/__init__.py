# SPDX-License-Identifier: Apache-2.0
"""Mediated devices: parents, types, create and remove, on the parents of the kernel's samples."""
