# SPDX-License-Identifier: Apache-2.0
"""Which constants a call carried, of memory that a program could have."""

import ctypes
import io

import pytest

from harness.ioctl_arguments import Exchange, carriers, command_of
from harness.kernel.task import LocalMemory, Task
from harness.kernel.trace import Event, Trace
from harness.trace_output import TraceOutput
from harness.uapi import vfio as u

DEVICE = "anon_inode:[vfio-device]"


@pytest.fixture
def memory():
    return LocalMemory()


def exchange(memory, path, number, *parts):
    """The call with these structures, one behind the other, and where they are."""
    content = b"".join(map(bytes, parts))
    address = memory.allocate(4096)
    memory.write(address, content)
    return Exchange(command_of(path, number), memory, address), address


@pytest.mark.parametrize(
    ("path", "number", "name"),
    [
        ("/dev/vfio/vfio", 0x3B70, "VFIO_IOMMU_GET_INFO"),
        (DEVICE, 0x3B70, "VFIO_DEVICE_GET_PCI_HOT_RESET_INFO"),
        ("/dev/vfio/devices/vfio0", 0x3B6B, "VFIO_DEVICE_GET_INFO"),
        ("/dev/vfio/12", 0x3B67, "VFIO_GROUP_GET_STATUS"),
        ("/dev/iommu", 0x3B85, "IOMMU_IOAS_MAP"),
        ("/dev/iommu", 0x3B71, "VFIO_IOMMU_MAP_DMA"),
        ("anon_inode:mtty_mig", 0x3B79, "VFIO_MIG_GET_PRECOPY_INFO"),
    ],
)
def test_a_number_is_another_command_to_another_file(path, number, name):
    assert command_of(path, number).name == name


def test_what_is_no_command():
    assert command_of("/dev/vfio/vfio", 0x5401) is None
    assert command_of("/dev/dsa/wq0.0", 0x3B71) is None


def test_flags_are_passed(memory):
    request = u.DmaMap(32, u.VFIO_DMA_MAP_FLAG_READ | 0x80)
    call, _ = exchange(memory, "/dev/vfio/vfio", u.VFIO_IOMMU_MAP_DMA, request)
    assert call.passed == {"VFIO_DMA_MAP_FLAG_READ"}
    assert call.given(0) == set()


def test_what_the_kernel_fills_in_is_not_passed(memory):
    request = u.IrqInfo(16, 0xFF, u.VFIO_PCI_MSIX_IRQ_INDEX)
    call, address = exchange(memory, DEVICE, u.VFIO_DEVICE_GET_IRQ_INFO, request)
    assert call.passed == {"VFIO_PCI_MSIX_IRQ_INDEX"}
    memory.write(address, bytes(u.IrqInfo(16, u.VFIO_IRQ_INFO_NORESIZE)))
    assert call.given(0) == {"VFIO_IRQ_INFO_NORESIZE"}


def test_arguments_and_results_that_are_numbers(memory):
    call = Exchange(command_of("/dev/vfio/vfio", u.VFIO_CHECK_EXTENSION), memory, 3)
    assert (call.passed, call.given(1)) == ({"VFIO_TYPE1v2_IOMMU"}, set())
    call = Exchange(command_of("/dev/vfio/vfio", u.VFIO_GET_API_VERSION), memory, 0)
    assert (call.passed, call.given(0)) == (set(), {"VFIO_API_VERSION"})


def test_memory_that_is_not_there(memory):
    call = Exchange(command_of("/dev/vfio/vfio", u.VFIO_IOMMU_MAP_DMA), memory, 0x1000)
    assert (call.passed, call.given(0)) == (set(), set())


SIZE = ctypes.sizeof(u.RegionInfo)
NEXT = SIZE + ctypes.sizeof(u.RegionInfoCapType)


@pytest.mark.parametrize(
    ("argsz", "last", "given"),
    [
        (256, 0, {"VFIO_REGION_INFO_CAP_TYPE", "VFIO_REGION_INFO_CAP_MSIX_MAPPABLE"}),
        (256, SIZE, {"VFIO_REGION_INFO_CAP_TYPE", "VFIO_REGION_INFO_CAP_MSIX_MAPPABLE"}),
        (256, 1 << 30, {"VFIO_REGION_INFO_CAP_TYPE", "VFIO_REGION_INFO_CAP_MSIX_MAPPABLE"}),
        (NEXT, 0, {"VFIO_REGION_INFO_CAP_TYPE"}),
        (SIZE, 0, set()),
        (8, 0, set()),
    ],
    ids=["whole", "in a circle", "out of memory", "no room", "room for none", "no chain at all"],
)
def test_chain_of_capabilities(memory, argsz, last, given):
    info = u.RegionInfo(argsz, u.VFIO_REGION_INFO_FLAG_CAPS, 9, SIZE)
    vendor = u.VFIO_REGION_TYPE_PCI_VENDOR_TYPE | 0x8086
    parts = (
        info,
        u.RegionInfoCapType(u.InfoCapHeader(u.VFIO_REGION_INFO_CAP_TYPE, 1, NEXT), vendor, 1),
        u.InfoCapHeader(u.VFIO_REGION_INFO_CAP_MSIX_MAPPABLE, 1, last),
    )
    call, _ = exchange(memory, DEVICE, u.VFIO_DEVICE_GET_REGION_INFO, *parts)
    vendors = {"VFIO_REGION_TYPE_PCI_VENDOR_TYPE"} if given else set()
    assert call.given(0) == given | vendors | {"VFIO_REGION_INFO_FLAG_CAPS"}


@pytest.mark.parametrize(
    ("flags", "passed", "given"),
    [
        (u.VFIO_DEVICE_FEATURE_SET, {"VFIO_DEVICE_STATE_RESUMING"}, set()),
        (u.VFIO_DEVICE_FEATURE_GET, set(), {"VFIO_DEVICE_STATE_RESUMING"}),
        (u.VFIO_DEVICE_FEATURE_PROBE | u.VFIO_DEVICE_FEATURE_SET, set(), set()),
    ],
    ids=["set", "get", "probe"],
)
def test_what_follows_a_feature(memory, flags, passed, given):
    feature = u.Feature(16, flags | u.VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE)
    state = u.FeatureMigState(u.VFIO_DEVICE_STATE_RESUMING, -1)
    call, _ = exchange(memory, DEVICE, u.VFIO_DEVICE_FEATURE, feature, state)
    bits = ("GET", "SET", "PROBE")
    asked = {f"VFIO_DEVICE_FEATURE_{bit}" for bit in bits}
    asked = {name for name in asked if flags & getattr(u, name)}
    assert call.passed == asked | passed | {"VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE"}
    assert call.given(0) == given


def test_an_unknown_feature_has_no_name(memory):
    feature = u.Feature(8, u.VFIO_DEVICE_FEATURE_GET | 0x1234)
    call, _ = exchange(memory, DEVICE, u.VFIO_DEVICE_FEATURE, feature)
    assert (call.passed, call.given(0)) == ({"VFIO_DEVICE_FEATURE_GET"}, set())


def test_what_structures_come_with():
    found = carriers()
    assert found["vfio_iommu_type1_dma_map"] == {"VFIO_IOMMU_MAP_DMA"}
    assert found["vfio_device_feature_mig_state"] == {"VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE"}
    assert "VFIO_REGION_INFO_CAP_TYPE" in found["vfio_info_cap_header"]


def test_the_trace_names_command_and_constants(memory):
    address = memory.allocate(4096)
    memory.write(address, bytes(u.IrqInfo(16, 0, u.VFIO_PCI_MSI_IRQ_INDEX)))
    stream = io.StringIO()
    trace = Trace([TraceOutput(stream)])
    event = Event("ioctl", DEVICE, (u.VFIO_DEVICE_GET_IRQ_INFO, address), Task(4, 4, "a"))
    event.memory = lambda: memory

    def answer():
        memory.write(address, bytes(u.IrqInfo(16, 3, u.VFIO_PCI_MSI_IRQ_INDEX, 1)))
        return 0

    trace.observe(event, answer)
    assert stream.getvalue() == (
        f"[4 a] ioctl({DEVICE}, VFIO_DEVICE_GET_IRQ_INFO, {address:#x}, VFIO_PCI_MSI_IRQ_INDEX)"
        " = 0 (VFIO_IRQ_INFO_EVENTFD|VFIO_IRQ_INFO_MASKABLE)\n"
    )


def test_the_trace_of_a_command_that_is_not_known(memory):
    stream = io.StringIO()
    trace = Trace([TraceOutput(stream)])
    event = Event("ioctl", "/dev/dsa/wq0.0", (0x5401, 0x10), Task(4, 4, "a"))
    event.memory = lambda: memory
    trace.observe(event, lambda: 0)
    assert stream.getvalue() == "[4 a] ioctl(/dev/dsa/wq0.0, 0x5401, 0x10) = 0\n"
