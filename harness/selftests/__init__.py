# SPDX-License-Identifier: Apache-2.0
"""The kernel's own selftests/vfio: built from its unmodified source, and run in a machine.

The source is not shipped: Debian's package of it is fetched, its tests are compiled, and the
programs are kept in the user's cache (:mod:`harness.selftests.build`). They run in a fake machine,
or in a virtual one with a real kernel, under one and the same script
(:mod:`harness.selftests.run`).
"""
