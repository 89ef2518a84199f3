# SPDX-License-Identifier: Apache-2.0
"""What tells one piece of hardware from all others of its kind is put out of a recording.

Nothing of a function is read but attributes that every function of the kind shares, and
configuration space. There, the serial number capability holds a number of the piece or the MAC
address of a network card, and vital product data the last words that were read of it.
"""

from __future__ import annotations

from harness.hardware.pci_config import capabilities, extended_capabilities

_CAP_VPD = 0x03
_EXT_CAP_SERIAL = 0x03
#: What is zeroed, by capability: its name, and where its bytes are.
_SECRETS = {_CAP_VPD: ("vital product data", range(2, 8))}
_EXTENDED_SECRETS = {_EXT_CAP_SERIAL: ("serial number", range(4, 12))}


def mask_config(config: bytes) -> tuple[bytes, list[str]]:
    """Configuration space with zeros for what is private, and the names of what was."""
    masked = bytearray(config)
    found: list[str] = []
    for chain, secrets in (
        (capabilities(config), _SECRETS),
        (extended_capabilities(config), _EXTENDED_SECRETS),
    ):
        for number, start in chain:
            name, places = secrets.get(number, ("", range(0)))
            private = [start + place for place in places if start + place < len(masked)]
            if any(masked[place] for place in private):
                found.append(name)
            for place in private:
                masked[place] = 0
    return bytes(masked), found
