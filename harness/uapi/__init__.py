# SPDX-License-Identifier: Apache-2.0
"""Numbers, flags and structs of the Linux user ABI. No behaviour."""
