# SPDX-License-Identifier: Apache-2.0
"""/dev/empty, whose handlers do nothing: what is left is what the mechanism costs."""

from harness.modules import Module, OpenFile, misc_register

INFO_SIZE = 20  # sizeof(struct vfio_device_info), whose copies are of the mechanism


class Empty(OpenFile):
    def read(self, caller, offset, count):
        return bytes(count)

    def ioctl(self, caller, command, argument):
        if argument:
            caller.copy_to_user(argument, caller.copy_from_user(argument, INFO_SIZE))
        return 0


def empty_init(kernel):
    misc_register(kernel, "empty", lambda node, opener, flags: Empty(node, opener), 0o600)


MODULE = Module("empty", empty_init)
