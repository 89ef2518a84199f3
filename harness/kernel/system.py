# SPDX-License-Identifier: Apache-2.0
"""One running fake kernel: its trees, lock, clock, trace, uevents and loaded modules.

Every call of a program comes in through :meth:`Kernel.call`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import frozen

from harness.kernel import vfs
from harness.kernel.chardev import Devices
from harness.kernel.clock import Clock, VirtualClock
from harness.kernel.devtmpfs import DevRoot
from harness.kernel.ida import Ida
from harness.kernel.iommu import IommuGroups
from harness.kernel.kernfs import KernfsDirectory, KernfsRoot
from harness.kernel.kstrtox import kstrtobool
from harness.kernel.profile import KernelSection, Profile
from harness.kernel.task import Caller
from harness.kernel.trace import Event, Trace
from harness.kernel.uevents import Uevents
from harness.kernel.wait import MachineLock, Scheduler
from harness.kernel.watched import Watched
from harness.uapi.fs import MAX_LFS_FILESIZE, MAX_NON_LFS

if TYPE_CHECKING:
    from harness.kernel.driver_core import Bus
    from harness.kernel.module import LoadedModule, Module, ModuleInfo

#: Node operations by name: the virtual file system's checks and then the node's own.
NODE_OPERATIONS = {
    "lookup": vfs.vfs_lookup,
    "readdir": vfs.vfs_readdir,
    "getattr": vfs.vfs_getattr,
    "setattr": vfs.vfs_setattr,
    "permission": vfs.vfs_permission,
    "readlink": vfs.vfs_readlink,
    "create": vfs.vfs_create,
    "mkdir": vfs.vfs_mkdir,
    "rmdir": vfs.vfs_rmdir,
    "mknod": vfs.vfs_mknod,
    "link": vfs.vfs_link,
    "symlink": vfs.vfs_symlink,
    "unlink": vfs.vfs_unlink,
    "rename": vfs.vfs_rename,
    "open": vfs.vfs_open,
}
#: File operations by name, methods of the open file; release takes no caller and goes first.
FILE_OPERATIONS = ("read", "write", "ioctl", "poll", "mmap", "lseek")


@frozen
class Cpu:
    """What drivers ask of the processor (boot_cpu_has), and how many there are (nr_cpu_ids)."""

    movdir64b: bool = True
    enqcmd: bool = True
    count: int = 1


class Kernel:
    """The fake kernel of one machine."""

    cpu = Cpu()

    def __init__(self, profile: Profile, clock: Clock | None = None, seed: int = 0) -> None:
        self.profile = profile
        self.section = profile.section("kernel", KernelSection)
        self.scheduler = Scheduler()
        self.clock: Clock = clock if clock is not None else VirtualClock()
        self.seed = seed
        self.trace = Trace()
        # At hand, because every call asks for them.
        self.lock: MachineLock = self.scheduler.lock
        self._observers = self.trace.observers
        self.uevents = Uevents()
        self.uevents.subscribers.append(
            lambda event: self.trace.emit("uevent", event.devpath, event.action)
        )
        large = self.section.kernfs_large_files
        self._sys = KernfsRoot("sys", max_bytes=MAX_LFS_FILESIZE if large else MAX_NON_LFS)
        self._dev = DevRoot()
        self.roots = {"sys": self._sys, "dev": self._dev}
        self._top = KernfsRoot("").directory
        for root in self.roots.values():
            self._top.add(root.directory)
        self.devices = Devices(self._dev, self.section.chrdev_major)
        self.buses: dict[str, Bus] = {}
        self.iommu_groups = IommuGroups(self)
        self.modules: dict[str, LoadedModule] = {}
        #: What can be loaded, by name, and what is known of it.
        self.module_files: Mapping[str, Module] = {}
        self.module_info: Mapping[str, ModuleInfo] = {}
        #: Names of block devices that drivers have; there is no block layer that shows them.
        self.disks: set[str] = set()
        #: Numbers of wakeup sources, and of devices of the class misc.
        self.wakeup_ida = Ida()
        self.misc_minors = Ida()
        #: What mounts watch programs for, because of what was loaded so far.
        self.watched = Watched()
        #: What drivers hold of files that are not the machine's, with a name for each.
        self.held: dict[object, str] = {}

    @property
    def root(self) -> vfs.Node:
        """The directory whose children sys and dev are what a mount shows."""
        return self._top

    @property
    def sysfs(self) -> KernfsDirectory:
        """The directory /sys."""
        return self._sys.directory

    def kstrtobool(self, data: bytes) -> bool:
        """A boolean as this kernel reads it. EINVAL."""
        return kstrtobool(data, words=self.section.boolean_words)

    def call(self, caller: Caller, operation: str, target: Any, *arguments: Any) -> Any:
        """One call of a program, under the machine's lock.

        ``target`` is a Node for the operations of NODE_OPERATIONS and an OpenFile for those of
        FILE_OPERATIONS. Raises Errno.
        """
        with self.lock:
            scheduler = self.scheduler
            scheduler.current = caller
            try:
                if self._observers:
                    return self._observed(caller, operation, target, arguments)
                function = NODE_OPERATIONS.get(operation)
                if function is not None:
                    return function(caller, target, *arguments)  # type: ignore[operator]
                return getattr(target, operation)(caller, *arguments)
            finally:
                scheduler.current = None

    def _observed(
        self, caller: Caller, operation: str, target: Any, arguments: tuple[Any, ...]
    ) -> Any:
        node = target.node if isinstance(target, vfs.OpenFile) else target
        event = Event(operation, node.path(), arguments, caller.task)
        event.memory = lambda: caller.address_space
        function = NODE_OPERATIONS.get(operation)
        if function is not None:
            event.decided_by = function.__name__
            return self.trace.observe(
                event,
                lambda: function(caller, target, *arguments),  # type: ignore[operator]
            )
        event.decided_by = target.decider(operation)
        return self.trace.observe(event, lambda: getattr(target, operation)(caller, *arguments))

    def release(self, open_file: vfs.OpenFile) -> None:
        """The last reference to an open file is gone."""
        with self.lock:
            if self._observers:
                event = Event("release", open_file.node.path(), ())
                self.trace.observe(event, open_file.release)
            else:
                open_file.release()

    def walk(self, caller: Caller, path: str, *, follow: bool = True) -> vfs.Node:
        """The node at an absolute ``path``, through links (link_path_walk). Raises Errno."""
        return vfs.path_walk(self, caller, path, follow=follow)

    def leaks(self) -> list[str]:
        """Paths of attributes that are still open, and eventfds that drivers still hold.

        Empty once all programs are gone.
        """
        found = list(self.held.values())
        for root in self.roots.values():
            pending: list[vfs.Node] = [root.directory]
            while pending:
                node = pending.pop()
                if isinstance(node, KernfsDirectory):
                    pending.extend(node.children.values())
                elif getattr(node, "open_count", 0):
                    found.append(node.path())
        return sorted(found)
