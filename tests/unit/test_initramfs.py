# SPDX-License-Identifier: Apache-2.0
"""The first file system of a virtual machine, read back as the kernel reads it."""

import gzip
import lzma
import stat

import pytest

from harness.vm.initramfs import Archive, ModuleTree, build, module_name


def entries(archive):
    """Path -> mode and content, by the format's own rules: 110 bytes of head, 4-byte padding."""
    found, position = {}, 0
    while True:
        assert archive[position : position + 6] == b"070701"
        numbers = [
            int(archive[position + 6 + 8 * i : position + 14 + 8 * i], 16) for i in range(13)
        ]
        mode, size, name_size = numbers[1], numbers[6], numbers[11]
        name = archive[position + 110 : position + 110 + name_size - 1].decode()
        start = (position + 110 + name_size + 3) & ~3
        if name == "TRAILER!!!":
            return found
        assert name not in found
        found[name] = (mode, archive[start : start + size])
        position = (start + size + 3) & ~3


class TestArchive:
    def test_what_goes_in_is_in_it(self):
        archive = Archive()
        archive.file("/etc/a", b"12345", 0o755)
        archive.device("/dev/null", (1, 3), 0o666)
        assert entries(archive.content()) == {
            "etc": (stat.S_IFDIR | 0o755, b""),
            "etc/a": (stat.S_IFREG | 0o755, b"12345"),
            "dev": (stat.S_IFDIR | 0o755, b""),
            "dev/null": (stat.S_IFCHR | 0o666, b""),
        }

    def test_nothing_is_there_twice(self):
        archive = Archive()
        archive.file("/a", b"")
        with pytest.raises(ValueError, match="/a is there twice"):
            archive.file("/a", b"")


def module(*needs):
    return b"\x7fELF\0license=GPL\0depends=" + ",".join(needs).encode() + b"\0name=x\0"


@pytest.fixture
def tree(tmp_path):
    """Modules a -> b -> c-d, compressed in every way, and one outside the tree that needs a."""
    folder = tmp_path / "lib/modules/1.0/kernel/drivers"
    folder.mkdir(parents=True)
    (folder / "a.ko").write_bytes(module("b"))
    (folder / "b.ko.xz").write_bytes(lzma.compress(module("c-d")))
    (folder / "c-d.ko.gz").write_bytes(gzip.compress(module()))
    outside = tmp_path / "extra.ko"
    outside.write_bytes(module("a"))
    return ModuleTree(tmp_path / "lib/modules/1.0", {"extra": outside})


class TestModules:
    def test_what_is_needed_comes_first(self, tree):
        assert tree.closure("extra") == ["c_d", "b", "a", "extra"]
        assert tree.closure("b") == ["c_d", "b"]

    def test_what_is_no_module_may_be_built_in(self, tree):
        assert tree.closure("virtio_pci") == []

    def test_content_is_uncompressed(self, tree):
        assert tree.content("b") == module("c-d")
        assert tree.content("c_d") == module()

    @pytest.mark.parametrize("path", ["a/snd-x.ko.xz", "snd-x.ko", "snd_x"])
    def test_name(self, path):
        assert module_name(path) == "snd_x"


def test_the_whole(tmp_path, tree):
    busybox = tmp_path / "busybox"
    busybox.write_bytes(b"#!")
    archive = entries(
        build(
            busybox=busybox,
            agent=busybox,
            modules=tmp_path,
            release="1.0",
            load=["a", "virtio_pci"],
            extra_modules={},
            files={"/etc/start": b"go"},
        )
    )
    assert archive["etc/modules"][1] == b"a\nvirtio_pci\n"
    assert archive["etc/start"] == (stat.S_IFREG | 0o755, b"go")
    assert archive["init"][1].startswith(b"#!/bin/busybox sh\n")
    # The order in which modprobe of busybox loads: from the last to the first.
    assert (
        archive["lib/modules/1.0/modules.dep"][1] == b"c_d.ko:\nb.ko: c_d.ko\na.ko: b.ko c_d.ko\n"
    )
    assert archive["lib/modules/1.0/b.ko"][1] == module("c-d")
