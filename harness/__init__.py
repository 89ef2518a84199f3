# SPDX-License-Identifier: Apache-2.0
"""A machine with Intel DSA/IAA accelerators as Linux would show it, without the hardware."""

__version__ = "0.1.0"
