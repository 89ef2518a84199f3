# SPDX-License-Identifier: Apache-2.0
"""What accel-config's commands about mediated devices read and write, which no package has.

The commands were in its releases 2.1 to 3.5.1. Each prints what the tool would do with the result;
an errno ends the program with the number as its status.

    enable-wq WQ | disable-wq WQ [-f] | create-mdev DEVICE 1dwq|1swq UUID
    remove-mdev DEVICE UUID | list DEVICE | create-mdev-v1 DEVICE WQ UUID | remove-mdev-v1 WQ UUID
"""

import os
import sys

DSA = "/sys/bus/dsa"
_EPERM, _ENXIO = 1, 6


def read(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        return os.read(fd, 4096).decode().strip()
    finally:
        os.close(fd)


def write(path, text):
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def parent_of(device):
    """The function is the directory above the device's; it is a parent if the class has it."""
    function = os.path.basename(os.path.dirname(os.path.realpath(f"{DSA}/devices/{device}")))
    parent = f"/sys/class/mdev_bus/{function}"
    os.stat(parent)
    return parent


def enable_wq(wq):
    compat = not os.path.isdir(f"{DSA}/drivers/idxd")
    write(f"{DSA}/drivers/{'dsa' if compat else 'mdev'}/bind", wq)
    if read(f"{DSA}/devices/{wq}/state") != "enabled":
        raise OSError(_ENXIO, "not enabled")


def disable_wq(wq, force=""):
    if int(read(f"{DSA}/devices/{wq}/clients")) and not force:
        raise OSError(_EPERM, "it has clients")
    write(f"{DSA}/devices/{wq}/driver/unbind", wq)
    if read(f"{DSA}/devices/{wq}/state") != "disabled":
        raise OSError(_ENXIO, "not disabled")


def create_mdev(device, queues, uuid):
    version = int(read(f"{DSA}/devices/{device}/version"), 16) >> 8
    type = f"idxd-{device.rstrip('0123456789')}-{queues}-v{version}"
    write(f"{parent_of(device)}/mdev_supported_types/{type}/create", uuid)


def remove_mdev(device, uuid):
    write(f"{parent_of(device)}/{uuid}/remove", "1")


def list_mdevs(device):
    """A device whose type is none that the tool knows takes all others from the listing."""
    parent = parent_of(device)
    for name in sorted(os.listdir(parent)):
        if len(name) == 36 and name.count("-") == 4:
            type = os.path.basename(os.path.realpath(f"{parent}/{name}/mdev_type"))
            if "1dwq" not in type and "1swq" not in type:
                raise OSError(_ENXIO, "a type that nobody knows")
            print(name, type)


def create_mdev_v1(device, wq, uuid):
    write(f"{DSA}/devices/{wq}/uuid", uuid)
    write(f"{parent_of(device)}/mdev_supported_types/idxd-wq/create", uuid)


def remove_mdev_v1(wq, uuid):
    write(f"/sys/bus/mdev/devices/{uuid}/remove", "1")
    write(f"{DSA}/devices/{wq}/uuid", uuid)


COMMANDS = {
    "enable-wq": enable_wq,
    "disable-wq": disable_wq,
    "create-mdev": create_mdev,
    "remove-mdev": remove_mdev,
    "list": list_mdevs,
    "create-mdev-v1": create_mdev_v1,
    "remove-mdev-v1": remove_mdev_v1,
}

if __name__ == "__main__":
    try:
        COMMANDS[sys.argv[1]](*sys.argv[2:])
    except OSError as error:
        print(error, file=sys.stderr)
        sys.exit(error.errno)
