# SPDX-License-Identifier: Apache-2.0
"""The conformance suites: one directory an interface, one file a behaviour."""
