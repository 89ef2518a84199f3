# SPDX-License-Identifier: Apache-2.0
"""The series that made accelerators parents of mediated devices, on its own profiles.

No kernel ever had it: all is read in its mails and trees.
"""
