# SPDX-License-Identifier: Apache-2.0
"""``python -m harness`` is the command ``uapi-harness``."""

import sys

from harness.cli import main

sys.exit(main())
