# SPDX-License-Identifier: Apache-2.0
"""Debian's unmodified libvirt, its daemon in the machine: node devices, mdev types, detaching.

The daemon sees folders of its own where it would write, a configuration without polkit, which needs
a D-Bus, and the user that Debian's package makes for QEMU. It is one of several processes of one
command, since each command has its own such mounts.
"""

import os

import pytest

PACKAGE = "libvirt-daemon"

PREPARE = """
    set -e
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    mkdir -p /run/libvirt
    for place in /run/libvirt /var/lib/libvirt /var/cache/libvirt /var/log/libvirt /etc/libvirt; do
        test ! -d $place || mount -t tmpfs none $place
    done
    echo 'auth_unix_rw = "none"' > /etc/libvirt/libvirtd.conf
    cp /etc/passwd /etc/group "$folder"
    echo 'libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin' >> "$folder/passwd"
    printf '%s\\n' libvirt-qemu:x:64055: kvm:x:64056: >> "$folder/group"
    for file in passwd group; do mount --bind "$folder/$file" /etc/$file; done
    cp -r /etc/mdevctl.d "$folder"
    mount --bind "$folder/mdevctl.d" /etc/mdevctl.d
    udevadm trigger --settle
    libvirtd > "$folder/log" 2>&1 &
    for try in $(seq 100); do test -S /run/libvirt/libvirt-sock && break; sleep 0.1; done
    set +e
    echo prepared >&2
    virsh() { timeout 30 /usr/bin/virsh --quiet -c qemu:///system "$@"; }
"""
UUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"


@pytest.fixture
def shell(need, inside):
    """``shell(script)`` is what a script says beside a running daemon."""
    for program in ("libvirtd", "virsh", "mdevctl", "udevadm", "modprobe"):
        need(program)
    if os.geteuid():
        pytest.skip("the daemon wants to be more than one user")
    machine = inside("qemu-q35", profile="6.1", mount=["udevd", "system"])

    def run(script):
        done = machine("bash", "-c", f"{PREPARE}\n{script}\nkill %1; wait %1", status=None)
        assert "prepared" in done.err, done.err
        return done.out.splitlines(), done.err

    run.machine = machine.machine
    return run


def test_devices_and_mdev_types(shell):
    lines, _ = shell("virsh nodedev-list --cap mdev_types; virsh nodedev-dumpxml mtty_mtty")
    # Of parents that are no PCI function, libvirt looks at mtty alone (udevGetDeviceType).
    assert lines[0] == "mtty_mtty"
    text = "".join(line.strip() for line in lines[1:])
    assert "<type id='mtty-2'><name>Dual port serial</name><deviceAPI>vfio-pci</deviceAPI>" in text
    assert "<availableInstances>12</availableInstances>" in text


def test_a_mediated_device_from_its_description(shell):
    description = (
        "<device><parent>mtty_mtty</parent><capability type='mdev'><type id='mtty-2'/>"
        f"<uuid>{UUID}</uuid></capability></device>"
    )
    lines, err = shell(f"""
        echo "{description}" > "$folder/mdev.xml"
        virsh nodedev-create "$folder/mdev.xml"
        virsh nodedev-create "$folder/mdev.xml"
        virsh nodedev-list --cap mdev
        ls /sys/bus/mdev/devices
    """)
    assert lines[-1] == UUID
    assert "Error: Device already exists" in err
    assert f"mdev_{UUID.replace('-', '_')}_mtty" in lines
    assert shell.machine.devices("mdev") == [UUID]


def test_a_function_is_detached_and_given_back(shell):
    driver = "basename $(readlink /sys/bus/pci/devices/0000:00:05.0/driver || echo none)"
    lines, _ = shell(f"""
        virsh nodedev-list --cap pci | grep -x pci_0000_00_05_0
        virsh nodedev-detach pci_0000_00_05_0 > "$folder/said"; {driver}
        virsh nodedev-reattach pci_0000_00_05_0 > "$folder/said"; {driver}
    """)
    assert lines[:2] == ["pci_0000_00_05_0", "vfio-pci"]
    assert lines[2] != "vfio-pci"
