# SPDX-License-Identifier: Apache-2.0
"""The uevent attributes of devices, drivers, buses and modules."""

from __future__ import annotations

from harness.conformance import Call, case, expect, param
from harness.conformance.errnos import EINVAL, ErrorNumber
from harness.conformance.suites._steps import PCI_ADDRESS, PCI_BUS, PCI_DEVICE

_SYNTH = "kobject_synth_uevent, kobject_action_type: lib/kobject_uevent.c, 6.1"
_UUID = "fe4d7c9d-b8c6-4a70-9ef1-3d8a58d18eed"
_PLACES = (
    f"{PCI_DEVICE}/uevent",
    f"{PCI_BUS}/uevent",
    f"{PCI_BUS}/drivers/idxd/uevent",
    "/sys/bus/dsa/devices/wq0.0/uevent",
    "/sys/module/idxd/uevent",
)


@case(source=_SYNTH)
@param("path", _PLACES)
def every_action_word(call: Call, path: str) -> None:
    for word in ("add", "remove", "change", "move", "online", "offline", "bind", "unbind"):
        expect(call.write_text(path, word), len(word))


@case(source=_SYNTH)
@param("path", _PLACES)
def unknown_action(call: Call, path: str) -> None:
    expect(call.write_text(path, "nonesuch"), EINVAL)


@case(source=f"{_SYNTH}; kobject_action_args")
@param(
    "text wanted",
    [
        ("add\n", 4),
        ("Add", EINVAL),
        (" add", EINVAL),
        ("added", EINVAL),
        ("ad", EINVAL),
        ("\n", EINVAL),
        ("", 0),
        (f"add {_UUID}", 40),
        (f"add {_UUID}\n", 41),
        (f"add {_UUID} A=1 B=abc", 50),
        (f"add {_UUID.upper()}", 40),
        ("add x", EINVAL),
        ("add ", EINVAL),
        (f"add {_UUID[:-1]}", EINVAL),
        (f"add {_UUID}x", EINVAL),
        (f"add {_UUID} A", EINVAL),
        (f"add {_UUID} A=", EINVAL),
        (f"add {_UUID} =1", EINVAL),
        (f"add {_UUID} A=b_c", EINVAL),
        (f"add {_UUID}  A=1", EINVAL),
    ],
)
def text(call: Call, text: str, wanted: int | ErrorNumber) -> None:
    """An action, and behind it perhaps a UUID and letters and digits as KEY=value."""
    expect(call.write_text(f"{PCI_DEVICE}/uevent", text), wanted)


_VARIABLES = (
    "PCI_CLASS=88000\n"
    "PCI_ID=8086:0B25\n"
    "PCI_SUBSYS_ID=8086:0000\n"
    f"PCI_SLOT_NAME={PCI_ADDRESS}\n"
    "MODALIAS=pci:v00008086d00000B25sv00008086sd00000000bc08sc80i00\n"
)


@case(source="uevent_show: drivers/base/core.c; pci_uevent: drivers/pci/pci-driver.c, 6.1")
def names_the_driver(call: Call) -> None:
    """DRIVER is there while one is bound."""
    expect(call.read_text(f"{PCI_DEVICE}/uevent"), f"DRIVER=idxd\n{_VARIABLES}")
    call.write_text(f"{PCI_BUS}/drivers/idxd/unbind", PCI_ADDRESS)
    expect(call.read_text(f"{PCI_DEVICE}/uevent"), _VARIABLES)
