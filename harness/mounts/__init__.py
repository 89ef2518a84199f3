# SPDX-License-Identifier: Apache-2.0
"""Mounts: ways for programs to see a machine."""
