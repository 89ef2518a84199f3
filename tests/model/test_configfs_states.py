# SPDX-License-Identifier: Apache-2.0
"""Whatever is made, linked, removed and written in configfs in whatever order, some things hold."""

import errno
from contextlib import suppress

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from harness.kernel.configfs.dir import ConfigDirectory, ConfigLink
from harness.kernel.configfs.file import ConfigFile
from harness.kernel.errors import Errno
from harness.kernel.system_calls import DescriptorCaller, SystemCalls
from harness.kernel.vfs import Changes
from harness.machine import load_machine
from harness.uapi.fs import O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY, SEEK_END

ROOT = "/sys/kernel/config"
DIRECTORIES = [
    ROOT,
    f"{ROOT}/01-childless",
    f"{ROOT}/02-simple-children",
    f"{ROOT}/03-group-children",
    f"{ROOT}/nullb",
    *(f"{ROOT}/nvmet/{name}" for name in ("", "subsystems", "ports", "hosts")),
]
NAMES = st.sampled_from(
    [
        "a",
        "b",
        "1",
        "2",
        "storeme",
        "power",
        "allowed_hosts",
        "namespaces",
        "ana_groups",
        "\udcff\udc80",
        "a b\n",
        "\xe4",
        "n" * 255,
        "n" * 256,
        "x" * 5000,
        "...",
        "-",
        "%s",
    ]
)
VALUES = st.sampled_from(
    [b"1", b"0", b"", b"-5\n", b"/dev/nullb0", b"+1-600", b"\0", b"\xff\xfe", b"9" * 5000, b"%n%s"]
)


def below(directory):
    """All nodes below a directory."""
    for node in list(directory.children.values()):
        yield node
        if isinstance(node, ConfigDirectory):
            yield from below(node)


class Configfs(RuleBasedStateMachine):
    """Three subsystems of the sample, null_blk and nvmet, in careless hands."""

    paths = Bundle("paths")

    @initialize(target=paths, profile=st.sampled_from(["6.1", "6.12", "7.2"]))
    def start(self, profile):
        self.machine = load_machine("qemu-q35", profile=profile)
        self.kernel = self.machine.kernel
        self.calls = SystemCalls(self.kernel, DescriptorCaller())
        self.top = self.kernel.walk(self.calls.caller, ROOT)
        self.fds = {}
        return DIRECTORIES[2]

    @rule(target=paths, path=st.sampled_from(DIRECTORIES))
    def known(self, path):
        return path

    @rule(target=paths, parent=paths, name=NAMES)
    def child(self, parent, name):
        return f"{parent}/{name}"

    @rule(target=paths, parent=paths)
    def deep(self, parent):
        return parent + "/a" * 40

    @rule(path=paths)
    def mkdir(self, path):
        with suppress(Errno):
            self.calls.mkdir(path, 0o777)

    @rule(path=paths)
    def rmdir(self, path):
        with suppress(Errno):
            self.calls.rmdir(path)

    @rule(path=paths)
    def unlink(self, path):
        with suppress(Errno):
            self.calls.unlink(path)

    @rule(old=paths, new=paths)
    def rename(self, old, new):
        """Nothing is ever renamed; at most the two are one."""
        before = {node.ino: node.path() for node in below(self.top)}
        with suppress(Errno):
            self.calls.rename(old, new)
        assert before == {node.ino: node.path() for node in below(self.top)}

    @rule(target=paths, name=st.sampled_from(["a", "b", "\udcff\udc80"]))
    def allow_a_host(self, name):
        """All that it takes; by luck alone it would hardly ever happen."""
        host, subsystem = f"{ROOT}/nvmet/hosts/{name}", f"{ROOT}/nvmet/subsystems/{name}"
        link = f"{subsystem}/allowed_hosts/{name}"
        with suppress(Errno):
            self.calls.mkdir(host, 0o755)
        with suppress(Errno):
            self.calls.mkdir(subsystem, 0o755)
        with suppress(Errno):
            self.calls.symlink(host, link)
        return link

    @rule(data=st.data())
    def remove_an_end_of_a_link(self, data):
        """What it leads to, what it is in, or what that is in."""
        links = [node for node in below(self.top) if isinstance(node, ConfigLink)]
        if not links:
            return
        link = data.draw(st.sampled_from(sorted(links, key=lambda node: node.ino)))
        ends = (link.target, link.parent, link.parent.parent)
        with suppress(Errno):
            self.calls.rmdir(data.draw(st.sampled_from([node.path() for node in ends])))

    @rule(to=paths, path=paths)
    def symlink(self, to, path):
        with suppress(Errno):
            self.calls.symlink(to, path)

    @rule(directory=paths, flags=st.sampled_from([O_RDONLY, O_WRONLY, O_RDWR, O_RDWR | O_TRUNC]))
    def open_all(self, directory, flags):
        with suppress(Errno, AttributeError):
            for name in list(self.kernel.walk(self.calls.caller, directory).children):
                with suppress(Errno):
                    path = f"{directory}/{name}"
                    node = self.kernel.walk(self.calls.caller, path, follow=False)
                    self.fds[self.calls.open(path, flags, 0)] = node

    @rule(value=VALUES, size=st.sampled_from([0, 1, 100]), data=st.data())
    def use(self, value, size, data):
        if not self.fds:
            return
        fd = data.draw(st.sampled_from(sorted(self.fds)))
        for call in (
            lambda: self.calls.write(fd, value),
            lambda: self.calls.pread(fd, size, 0),
            lambda: self.calls.ftruncate(fd, size),
            lambda: self.calls.lseek(fd, -1, SEEK_END),
            lambda: self.calls.pwrite(fd, value, 1 << 40),
        ):
            with suppress(Errno):
                call()

    @rule(path=paths, mode=st.sampled_from([0, 0o200, 0o444, 0o777]))
    def chmod(self, path, mode):
        with suppress(Errno):
            self.calls.change(path, Changes(mode=mode))

    @rule(data=st.data())
    def close(self, data):
        if self.fds:
            fd = data.draw(st.sampled_from(sorted(self.fds)))
            del self.fds[fd]
            self.calls.close(fd)

    # --- what holds

    @invariant()
    def link_counts_are_subdirectories(self):
        for node in below(self.top):
            if isinstance(node, ConfigDirectory):
                inner = [c for c in node.children.values() if isinstance(c, ConfigDirectory)]
                assert node.nlink == 2 + len(inner)

    @invariant()
    def listings_are_what_can_be_found(self):
        for node in [self.top, *below(self.top)]:
            if isinstance(node, ConfigDirectory):
                listed = node.readdir(self.calls.caller)
                assert sorted(child.name for child in listed) == sorted(node.children)
                assert all(child.parent is node for child in listed)

    @invariant()
    def items_and_directories_agree(self):
        for node in below(self.top):
            if isinstance(node, ConfigDirectory):
                assert node.item.directory is node
                assert node.item.parent is node.parent.item

    @invariant()
    def links_lead_to_items_that_stay(self):
        leading = {}
        for node in below(self.top):
            if isinstance(node, ConfigLink):
                assert self.kernel.walk(self.calls.caller, node.path()) is node.target
                leading[node.target] = leading.get(node.target, 0) + 1
        for node in below(self.top):
            if isinstance(node, ConfigDirectory):
                assert node.links == leading.get(node, 0)

    @invariant()
    def default_groups_stay(self):
        for node in below(self.top):
            if isinstance(node, ConfigDirectory):
                for group in getattr(node.item, "default_groups", ()):
                    assert node.children[group.name].item is group

    @invariant()
    def files_of_removed_items_take_nothing(self):
        attached = {id(node) for node in below(self.top)}
        for fd, node in self.fds.items():
            if isinstance(node, ConfigFile) and id(node) not in attached:
                with pytest.raises(Errno) as caught:
                    self.calls.write(fd, b"1")
                assert caught.value.errno in (errno.ENOENT, errno.EBADF)

    @invariant()
    def subsystems_stay(self):
        names = {"01-childless", "02-simple-children", "03-group-children", "nullb", "nvmet"}
        assert set(self.top.children) == names

    def teardown(self):
        """Nothing stays open, and all that was made can be removed."""
        if not hasattr(self, "fds"):
            return
        for fd in self.fds:
            self.calls.close(fd)
        assert self.kernel.leaks() == []
        for node in [node for node in below(self.top) if isinstance(node, ConfigLink)]:
            self.calls.unlink(node.path())
        for node in reversed(list(below(self.top))):
            if isinstance(node, ConfigDirectory) and node.parent not in (None, self.top):
                with suppress(Errno):
                    self.calls.rmdir(node.path())
        made = [node for node in below(self.top) if isinstance(node, ConfigDirectory)]
        assert all(node.is_default or node.parent is self.top for node in made)


TestConfigfs = Configfs.TestCase
TestConfigfs.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
