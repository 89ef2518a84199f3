# SPDX-License-Identifier: Apache-2.0
"""The NVMe target as configfs shows it (drivers/nvme/target/configfs.c, 6.1 and 6.12).

No transport and no block layer: ports can be described but not opened, and a namespace can be
enabled on a device of null_blk alone.
"""

from harness.drivers.nvmet.module import MODULES

__all__ = ["MODULES"]
