# SPDX-License-Identifier: Apache-2.0
"""configfs: what programs make, remove and link, and how its files differ from those of sysfs."""
