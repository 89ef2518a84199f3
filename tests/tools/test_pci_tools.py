# SPDX-License-Identifier: Apache-2.0
"""Programs that manage PCI functions: driverctl, dpdk-devbind and lspci, unmodified."""

import re
from pathlib import Path

import pytest

from harness.data import machine_path

EDU, NETWORK, BRIDGE = "0000:00:05.0", "0000:00:06.0", "0000:00:08.0"
UIO, VFIO = "uio_pci_generic", "vfio-pci"


def lines(result):
    """What a program printed, without what kmod misses of a kernel that is not installed."""
    text = result.out + result.err
    return [line for line in text.splitlines() if "libkmod" not in line and line.strip()]


@pytest.fixture
def q35(inside):
    return inside("qemu-q35")


@pytest.fixture
def bound(q35):
    """Which driver a function has."""

    def driver(address):
        link = q35("readlink", f"/sys/bus/pci/devices/{address}/driver", status=None).out
        return link.strip().rpartition("/")[2] or None

    return driver


class TestDriverctl:
    @pytest.fixture
    def driverctl(self, q35, need):
        need("driverctl")

        def run(*arguments, status=0):
            # Overrides are kept in /etc, which is the host's.
            return lines(q35("driverctl", "--nosave", *arguments, status=status))

        return run

    def test_lists_all_functions_with_their_drivers(self, driverctl):
        listed = driverctl("list-devices")
        assert len(listed) == 12
        assert f"{EDU} (none)" in listed
        assert "0000:00:01.0 virtio-pci" in listed

    def test_lists_functions_of_a_kind(self, driverctl):
        assert driverctl("list-devices", "network") == [f"{NETWORK} (none)"]
        assert driverctl("list-devices", "storage") == [
            "0000:00:07.0 (none)",
            "0000:00:1f.2 (none)",
        ]

    def test_an_override_binds_and_goes(self, driverctl, bound):
        assert driverctl("set-override", EDU, UIO) == []
        assert bound(EDU) == UIO
        assert driverctl("list-overrides") == [f"{EDU} {UIO}"]
        assert f"{EDU} {UIO} [*]" in driverctl("list-devices")
        # Nothing takes edu without: the program says so, having done its work.
        gone = driverctl("unset-override", EDU, status=1)
        assert gone == [f"driverctl: failed to bind device {EDU} to driver "]
        assert bound(EDU) is None
        assert f"{EDU} (none)" in driverctl("list-devices")

    def test_an_override_goes_back_to_the_driver_of_before(self, driverctl, bound):
        function = "0000:00:01.0"
        driverctl("set-override", function, UIO)
        assert bound(function) == UIO
        assert driverctl("unset-override", function) == []
        assert bound(function) == "virtio-pci"

    def test_an_override_changes(self, driverctl, bound):
        driverctl("set-override", EDU, UIO)
        assert driverctl("--noprobe", "set-override", EDU, "pci_stub") == []
        assert bound(EDU) is None

    def test_override_with_none_leaves_the_function_alone(self, driverctl, bound):
        driverctl("set-override", EDU, UIO)
        assert driverctl("set-override", EDU, "none") == []
        assert bound(EDU) is None

    def test_errors(self, driverctl, bound):
        """No such device, no such module, a kind that is none, and a driver that refuses."""
        missing = "0000:00:44.0"
        assert driverctl("set-override", missing, UIO, status=1) == [
            f"driverctl: no such device: {missing}"
        ]
        assert driverctl("set-override", EDU, "nonesuch", status=1) == [
            "driverctl: no such module: nonesuch"
        ]
        assert driverctl("list-overrides", status=1) == [
            "driverctl: No overridable devices found. Kernel too old?"
        ]
        assert driverctl("list-devices", "toaster", status=1)[0].startswith(
            "driverctl: device type must be one of"
        )
        assert driverctl("set-override", EDU, "shpchp", status=1) == [
            f"driverctl: failed to bind device {EDU} to driver shpchp"
        ]
        assert bound(EDU) is None

    def test_loads_a_module_by_its_driver_s_name(self, command_line, need):
        """modprobe makes nothing of a dash; `--system` lets it find the machine's modules."""
        need("driverctl")
        script = f"""
            driverctl --nosave set-override {EDU} vfio-pci && driverctl list-overrides
            driverctl --nosave set-override {EDU} nonesuch
            driverctl --nosave set-override {BRIDGE} vfio-pci
        """
        run = command_line("run", "--machine", "qemu-q35", "--system", "--", "sh", "-c", script)
        assert run.stdout == f"{EDU} vfio-pci\n"
        assert run.stderr.splitlines()[-2:] == [
            "driverctl: no such module: nonesuch",
            f"driverctl: failed to bind device {BRIDGE} to driver vfio-pci",
        ]

    def test_a_plain_user(self, q35, need):
        need("driverctl")
        need("setpriv")
        words = ("setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "driverctl")
        assert len(lines(q35(*words, "list-devices"))) == 12
        refused = lines(q35(*words, "--nosave", "set-override", EDU, UIO, status=None))
        assert any("Permission denied" in line for line in refused)


class TestDevbind:
    @pytest.fixture
    def devbind(self, q35, need):
        need("dpdk-devbind.py")

        def run(*arguments, status=0):
            return lines(q35("dpdk-devbind.py", *arguments, status=status))

        return run

    def test_status(self, devbind):
        assert devbind("--status-dev", "net")[2] == (
            f"{NETWORK} '82574L Gigabit Network Connection 10d3' unused={VFIO},{UIO}"
        )

    @pytest.mark.parametrize(("driver", "other"), [(VFIO, UIO), (UIO, VFIO)])
    def test_binds_and_unbinds(self, devbind, bound, driver, other):
        assert devbind("--bind", driver, "00:06.0") == []
        assert bound(NETWORK) == driver
        status = devbind("--status-dev", "net")
        assert status[0] == "Network devices using DPDK-compatible driver"
        assert status[2].endswith(f"drv={driver} unused={other}")
        assert devbind("--bind", other, NETWORK) == []
        assert bound(NETWORK) == other
        assert devbind("--unbind", NETWORK) == []
        assert bound(NETWORK) is None

    def test_vfio_has_its_node_then(self, q35, devbind):
        devbind("--bind", VFIO, NETWORK)
        assert q35("ls", "/dev/vfio").out.split() == ["4", "vfio"]
        devbind("--unbind", NETWORK)
        assert q35("ls", "/dev/vfio").out.split() == ["vfio"]

    @pytest.mark.parametrize("name", ["nonesuch", "idxd"])
    def test_a_driver_that_is_not_loaded(self, devbind, name):
        told = devbind("--bind", name, NETWORK, status=1)
        assert told == [f"Error: Driver '{name}' is not loaded."]

    def test_the_mode_without_an_iommu_is_of_a_later_release(self, devbind):
        told = devbind("--noiommu-mode", "--bind", VFIO, NETWORK, status=2)
        assert told[-1].endswith("error: unrecognized arguments: --noiommu-mode")

    def test_errors(self, devbind, bound):
        assert "Unknown device: 00:44.0" in devbind("--bind", VFIO, "00:44.0", status=1)[-1]
        assert devbind("--unbind", NETWORK) == [
            f"Notice: {NETWORK} 82574L Gigabit Network Connection  is not currently managed by any "
            "driver"
        ]
        refused = devbind("--bind", "virtio-pci", NETWORK, status=None)
        assert refused == [
            f"Error: bind failed for {NETWORK} - Cannot bind to driver virtio-pci: "
            "[Errno 19] No such device"
        ]
        assert bound(NETWORK) is None

    def test_without_an_iommu_vfio_refuses(self, inside, need, tmp_path):
        need("dpdk-devbind.py")
        machine = inside(machine_without_iommu(tmp_path))
        bind = ("dpdk-devbind.py", "--bind", VFIO, NETWORK)
        refused = lines(machine(*bind, status=None))
        assert refused == [
            f"Error: bind failed for {NETWORK} - Cannot bind to driver {VFIO}: "
            "[Errno 22] Invalid argument"
        ]
        # Debian's kernels are built without the mode that would help.
        assert "parameters" not in machine("ls", "/sys/module/vfio").out.split()
        assert machine("ls", "/dev/vfio").out.split() == ["vfio"]


def machine_without_iommu(folder):
    """qemu-q35 as it would be without one."""
    source = Path(machine_path("qemu-q35")).read_text()
    path = folder / "no-iommu.yaml"
    path.write_text(re.sub(r"(?m)^iommu: .*\n", "", source))
    return path


class TestLspci:
    @pytest.fixture
    def lspci(self, q35, need):
        need("lspci")
        return lambda *arguments: lines(q35("lspci", *arguments))

    def test_numbers(self, lspci):
        assert lspci("-n", "-s", "00:06.0") == ["00:06.0 0200: 8086:10d3"]
        assert len(lspci("-n")) == 12

    def test_tree(self, lspci):
        assert lspci("-t") == [
            "-[0000:00]-+-00.0",
            "           +-01.0",
            "           +-02.0",
            "           +-05.0",
            "           +-06.0",
            "           +-07.0",
            "           +-08.0-[01]--+-01.0",
            "           |            \\-02.0",
            "           +-1f.0",
            "           +-1f.2",
            "           \\-1f.3",
        ]

    def test_drivers(self, q35, lspci):
        assert "\tKernel driver in use: virtio-pci" in lspci("-k", "-s", "00:01.0")
        assert not any("in use" in line for line in lspci("-k", "-s", "00:05.0"))
        q35.machine.write(f"/sys/bus/pci/devices/{EDU}/driver_override", VFIO)
        q35.machine.write("/sys/bus/pci/drivers_probe", EDU)
        assert "\tKernel driver in use: vfio-pci" in lspci("-k", "-s", "00:05.0")

    @pytest.mark.parametrize(
        ("slot", "shown"),
        [
            ("00:06.0", "Expansion ROM at fe700000 [disabled] [size=256K]"),
            ("00:06.0", "Region 2: I/O ports at d080 [size=32]"),
            ("00:06.0", "Capabilities: [a0] MSI-X: Enable- Count=5 Masked-"),
            ("00:06.0", "Capabilities: [140 v1] Device Serial Number 52-54-00-ff-ff-12-34-56"),
            ("00:06.0", "IOMMU group: 4"),
            ("00:07.0", "Interrupt: pin A routed to IRQ 11"),
            ("00:08.0", "Interrupt: pin A routed to IRQ 20"),
            ("00:08.0", "Memory behind bridge: fe400000-fe5fffff [size=2M] [32-bit]"),
            ("00:08.0", "I/O behind bridge: c000-cfff [size=4K] [16-bit]"),
            ("00:08.0", "Bus: primary=00, secondary=01, subordinate=01, sec-latency=0"),
            ("01:02.0", "Physical Slot: 2"),
        ],
    )
    def test_all_there_is_of_a_function(self, lspci, slot, shown):
        assert shown in [line.strip() for line in lspci("-vvv", "-s", slot)]

    @pytest.mark.parametrize(("option", "count"), [("-x", 4), ("-xxx", 16), ("-xxxx", 256)])
    def test_configuration_space(self, lspci, option, count):
        shown = lspci(option, "-s", "00:07.0")[1:]
        assert len(shown) == count
        assert shown[0] == "00: 36 1b 10 00 07 01 10 00 02 02 08 01 00 00 00 00"

    def test_a_plain_user_sees_the_header(self, q35, need):
        need("lspci")
        need("setpriv")
        words = ("setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "lspci")
        assert lines(q35(*words, "-n", "-s", "00:06.0")) == ["00:06.0 0200: 8086:10d3"]
        told = [line.strip() for line in lines(q35(*words, "-vvv", "-s", "00:06.0"))]
        assert "Capabilities: <access denied>" in told
        assert not any("MSI-X" in line for line in told)
        assert len(lines(q35(*words, "-xxx", "-s", "00:06.0"))) == 1 + 4

    def test_setpci_writes(self, q35, lspci, need):
        need("setpci")
        q35("setpci", "-s", "00:05.0", "COMMAND=0x6:0x6")
        assert any("Mem+ BusMaster+" in line for line in lspci("-vv", "-s", "00:05.0"))
        assert q35("setpci", "-s", "00:05.0", "VENDOR_ID").out == "1234\n"
