# SPDX-License-Identifier: Apache-2.0
"""A machine's uevents as messages of the host's kernel (lib/kobject_uevent.c).

A message that is sent to the kernel over NETLINK_KOBJECT_UEVENT, by who is capable over the network
namespace's user namespace, is passed on to the listeners of the kernel's group there, as one of the
kernel's own (uevent_net_rcv_skb, 4.18). The host's kernel appends SEQNUM, from the one counter that
/sys/kernel/uevent_seqnum shows.
"""

from __future__ import annotations

import struct

from harness.kernel.uevents import Uevent

#: struct nlmsghdr: length, type, flags, sequence number, port.
_HEADER = struct.Struct("=IHHII")
#: Lower types are netlink's own (NLMSG_MIN_TYPE); only requests are looked at.
_TYPE, _REQUEST = 0x10, 1


def netlink_message(event: Uevent) -> bytes:
    """``event`` as the request to pass it on."""
    lines = [f"{event.action}@{event.devpath}"]
    lines += [f"{key}={value}" for key, value in event.variables.items() if key != "SEQNUM"]
    payload = b"".join(line.encode(errors="surrogateescape") + b"\0" for line in lines)
    return _HEADER.pack(_HEADER.size + len(payload), _TYPE, _REQUEST, 0, 0) + payload
