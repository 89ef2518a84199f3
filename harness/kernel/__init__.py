# SPDX-License-Identifier: Apache-2.0
"""The fake kernel's core: nodes, file operations, driver core, sysfs, uevents, profiles, trace.

Nothing here touches an operating system resource; only :mod:`harness.kernel.wait` knows threads.
"""
