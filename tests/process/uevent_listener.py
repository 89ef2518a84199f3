# SPDX-License-Identifier: Apache-2.0
"""uevent_listener.py COUNT COMMAND: listen, run a shell command, and print COUNT messages as JSON.

Each is the sender's port and user as the host's kernel says them, the message, and whether the
device that an ``add`` is about could be seen when it arrived.
"""

import json
import os
import socket
import subprocess
import sys

NETLINK_KOBJECT_UEVENT, KERNEL_GROUP = 15, 1


def main():
    """Print "listening", and then what came."""
    count, command = int(sys.argv[1]), sys.argv[2]
    listener = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_KOBJECT_UEVENT)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    listener.bind((0, KERNEL_GROUP))
    listener.settimeout(20)
    subprocess.run(["sh", "-c", command], check=True)
    print("listening", flush=True)
    for _ in range(count):
        data, ancillary, _, (port, groups) = listener.recvmsg(8192, 64)
        uid = int.from_bytes(ancillary[0][2][4:8], sys.byteorder)
        message = data.decode()
        path = message.split("\0")[0].split("@")[1]
        seen = os.path.isdir(f"/sys{path}")
        print(json.dumps([port, groups, uid, message, seen]), flush=True)


if __name__ == "__main__":
    main()
