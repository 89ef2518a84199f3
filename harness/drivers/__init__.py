# SPDX-License-Identifier: Apache-2.0
"""The fake kernel's drivers, function by function as the kernel's."""
