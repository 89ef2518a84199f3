# SPDX-License-Identifier: Apache-2.0
"""The semantics of sysfs files, whatever driver they belong to (fs/kernfs, fs/sysfs)."""
