# SPDX-License-Identifier: Apache-2.0
"""Debian's own kernels, from the machine's package source. Kept in the user's cache directory."""

import subprocess

import pytest

from harness.packages import Suite, Unavailable
from harness.vm import kernel_table
from harness.vm.programs import need

# A download, and some compiling, on a machine that does other things too.
pytestmark = pytest.mark.timeout(1800)


def test_it_is_that_version(kernel):
    assert kernel.release.startswith(f"{kernel.name}.")
    assert kernel.version.startswith(f"{kernel.name}.")


def test_the_kernel_says_its_release(kernel):
    image = kernel.vmlinux.read_bytes()
    assert image.startswith(b"\x7fELF")
    assert f"Linux version {kernel.release} ".encode() in image


def test_all_samples_are_modules_of_this_kernel(kernel):
    assert kernel.missing == {}
    assert list(kernel.extra) == list(kernel_table.load().samples)
    for path in kernel.extra.values():
        command = [*need("modinfo"), "-F", "vermagic", path]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert said.split()[0] == kernel.release


def test_the_samples_dependencies_are_listed(kernel):
    command = [*need("modprobe"), "-d", kernel.modules, "-S", kernel.release, "--show-depends"]
    for name in ("mtty", "mbochs"):
        said = subprocess.run([*command, name], capture_output=True, text=True, check=True).stdout
        assert f"/{name}.ko" in said.splitlines()[-1]
        assert "/mdev.ko" in said


def test_a_suite_has_what_another_release_needs():
    try:
        found = Suite("trixie-backports").closure(["qemu-system-x86"])
    except Unavailable as error:
        pytest.skip(str(error))
    names = {package.name for package in found}
    assert {"libc6", "qemu-system-x86", "seabios"} <= names
