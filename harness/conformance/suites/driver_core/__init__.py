# SPDX-License-Identifier: Apache-2.0
"""What every bus and driver has (drivers/base), and the PCI bus's own files."""
