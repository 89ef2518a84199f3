# SPDX-License-Identifier: Apache-2.0
"""Debian's unmodified accel-config: each job it is used for, and each error its users meet.

A scenario runs the tool in a machine and then asks the model what is true. The texts of errors are
the tool's own; what they are about was decided by the fake kernel.
"""

import json
from pathlib import Path

import pytest
from newer import EACH_ACCEL_CONFIG, inside_with
from ruamel.yaml import YAML

PACKAGE = "accel-config"

CONFIGS = Path("/etc/accel-config/contrib/configs")
PROFILES = [CONFIGS / f"{name}_profile.conf" for name in ("app", "net", "os", "storage")]
DSA = "/sys/bus/dsa/devices"


def parsed(path):
    """A configuration; as YAML, because one that the package ships has a comma too many."""
    return YAML(typ="safe").load(path)


@pytest.fixture(autouse=True)
def _installed(need):
    need("accel-config")


@pytest.fixture(params=EACH_ACCEL_CONFIG)
def inside(request, inside):
    if request.param != "installed":
        request.node.user_properties.append(("version", f"4.1.8 ({request.param})"))
    return inside_with(request.param, inside)


@pytest.fixture
def spr(inside):
    return inside("spr-2s")


def listing(machine):
    """What ``accel-config list -i`` says, by device name."""
    devices = json.loads(machine("accel-config", "list", "-i").out)
    return {device["dev"]: device for device in devices}


def configured(spr, queue="wq0.0", **options):
    """Configure and enable dsa0 with one work queue."""
    settings = {"group-id": 0, "wq-size": 16, "priority": 10, "type": "user", "name": "app"}
    settings |= {"mode": "dedicated", "block-on-fault": 0}
    settings |= {key.replace("_", "-"): value for key, value in options.items()}
    words = [f"--{key}={value}" for key, value in settings.items() if value is not None]
    spr("accel-config", "config-wq", f"dsa0/{queue}", *words)
    spr("accel-config", "config-engine", "dsa0/engine0.0", "--group-id=0")
    spr("accel-config", "enable-device", "dsa0")


def test_list_shows_every_device_with_its_queues(spr):
    devices = listing(spr)
    assert {name for name in devices if name.startswith("dsa")} == {"dsa0", "dsa2", "dsa4", "dsa6"}
    for name, device in devices.items():
        if name.startswith("dsa"):
            assert len(device["ungrouped workqueues"]) == 8
            assert device["work_queue_size"] == 128


def test_list_without_idle_shows_nothing_until_something_is_enabled(spr):
    assert spr("accel-config", "list").out.strip() in ("", "[\n]", "[]")
    configured(spr)
    (device,) = json.loads(spr("accel-config", "list").out)
    assert device["dev"] == "dsa0"
    assert device["state"] == "enabled"


def test_a_queue_from_nothing_to_enabled_and_back(spr):
    configured(spr)
    spr("accel-config", "enable-wq", "dsa0/wq0.0")
    machine = spr.machine
    assert machine.read(f"{DSA}/wq0.0/state") == "enabled\n"
    assert machine.read(f"{DSA}/group0.0/work_queues") == "wq0.0\n"
    assert machine.read(f"{DSA}/group0.0/engines") == "engine0.0\n"
    assert spr("ls", "/dev/dsa").out == "wq0.0\n"
    spr("accel-config", "disable-wq", "dsa0/wq0.0")
    assert spr("ls", "/dev/dsa", status=2).out == ""
    spr("accel-config", "disable-device", "dsa0")
    assert machine.read(f"{DSA}/dsa0/state") == "disabled\n"
    assert machine.read(f"{DSA}/wq0.0/size") == "0\n"
    assert machine.leaks() == []


def test_group_and_device_settings(spr):
    spr("accel-config", "config-device", "dsa0", "--read-buffer-limit=10")
    spr(
        "accel-config",
        "config-group",
        "dsa0/group0.1",
        "--read-buffers-reserved=4",
        "--read-buffers-allowed=8",
        "--use-read-buffer-limit=1",
    )
    read = spr.machine.read
    assert read(f"{DSA}/dsa0/read_buffer_limit") == "10\n"
    assert read(f"{DSA}/group0.1/read_buffers_reserved") == "4\n"
    assert read(f"{DSA}/group0.1/read_buffers_allowed") == "8\n"
    assert read(f"{DSA}/group0.1/use_read_buffer_limit") == "1\n"


@pytest.mark.parametrize("profile", PROFILES, ids=lambda path: path.stem)
def test_profiles_that_the_package_ships(spr, profile):
    """All but one are enabled; a shared kernel queue needs a PASID that 6.1 never gives it."""
    refused = profile.stem == "os_profile"
    loaded = spr("accel-config", "load-config", "-c", str(profile), "-e", status=int(refused))
    wanted = {
        queue["dev"]
        for device in parsed(profile)
        for group in device["groups"]
        for queue in group.get("grouped_workqueues", [])
    }
    states = {queue: spr.machine.read(f"{DSA}/{queue}/state").strip() for queue in wanted}
    assert set(states.values()) == {"disabled" if refused else "enabled"}
    if refused:
        assert "0x800c0000" in loaded.err + loaded.out
        assert spr.machine.read(f"{DSA}/dsa0/cmd_status") == "0x800c0000\n"


#: What accel-config 3.5.3 itself does not write back for kernels that lack the attribute.
NEVER_SAVED = {"driver_name"}


def contained(wanted, saved):
    """Whether all that ``wanted`` says is said by ``saved`` as well."""
    if isinstance(wanted, dict):
        return all(
            key in NEVER_SAVED or (key in saved and contained(value, saved[key]))
            for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return all(any(contained(item, other) for other in saved) for item in wanted)
    return wanted == saved


@pytest.mark.parametrize("profile", PROFILES, ids=lambda path: path.stem)
def test_save_config_gives_back_what_was_loaded(spr, profile, tmp_path):
    """What is saved is what is enabled; accel-config takes all back where a queue is refused."""
    saved = tmp_path / "saved.conf"
    refused = profile.stem == "os_profile"
    spr("accel-config", "load-config", "-c", str(profile), "-e", status=int(refused))
    spr("accel-config", "save-config", "-s", str(saved))
    if refused:
        assert parsed(saved) == []
    else:
        assert contained(parsed(profile), parsed(saved))


def test_what_was_saved_can_be_loaded_again(spr, inside, tmp_path):
    saved, again = tmp_path / "saved.conf", tmp_path / "again.conf"
    spr("accel-config", "load-config", "-c", str(CONFIGS / "storage_profile.conf"), "-e")
    spr("accel-config", "save-config", "-s", str(saved))
    other = inside("spr-2s")
    other("accel-config", "load-config", "-c", str(saved), "-e")
    other("accel-config", "save-config", "-s", str(again))
    assert json.loads(again.read_text()) == json.loads(saved.read_text())


ENABLED_QUEUE_ERRORS = {
    "size of a queue of an enabled device": (
        ("config-wq", "dsa0/wq0.1", "--wq-size=8"),
        "Operation not permitted",
    ),
    "limit of an enabled device": (
        ("config-device", "dsa0", "--read-buffer-limit=20"),
        "Operation not permitted",
    ),
    "mode of an enabled queue": (
        ("config-wq", "dsa0/wq0.0", "--mode=shared"),
        "Operation not permitted",
    ),
    "name of an enabled queue": (
        ("config-wq", "dsa0/wq0.0", "--name=other"),
        "Operation not permitted",
    ),
    "queue that is enabled": (("enable-wq", "dsa0/wq0.0"), "enabled or locked mode"),
    "queue in no group": (("enable-wq", "dsa0/wq0.1"), "failed in dsa0/wq0.1"),
    "queue that is disabled": (("disable-wq", "dsa0/wq0.5"), "in disabled mode already"),
    "device that is enabled": (("enable-device", "dsa0"), "failed in dsa0"),
}


@pytest.mark.parametrize("name", ENABLED_QUEUE_ERRORS)
def test_errors_on_an_enabled_device(spr, name):
    command, message = ENABLED_QUEUE_ERRORS[name]
    configured(spr)
    spr("accel-config", "enable-wq", "dsa0/wq0.0")
    failed = spr("accel-config", *command, status=1)
    assert message in failed.err + failed.out
    assert spr.machine.read(f"{DSA}/wq0.0/state") == "enabled\n"
    assert spr.machine.read(f"{DSA}/wq0.0/size") == "16\n"


def test_sizes_that_do_not_fit_together(spr):
    spr("accel-config", "config-wq", "dsa0/wq0.0", "--wq-size=100")
    failed = spr("accel-config", "config-wq", "dsa0/wq0.1", "--wq-size=29", status=1)
    assert "Invalid argument" in failed.err + failed.out
    spr("accel-config", "config-wq", "dsa0/wq0.1", "--wq-size=28")


def test_a_device_without_queues_cannot_be_enabled(spr):
    failed = spr("accel-config", "enable-device", "dsa0", status=1)
    assert "0x800d0000" in failed.err + failed.out
    assert "no wqs configured" in failed.err + failed.out


def test_a_queue_without_name_cannot_be_enabled(spr):
    configured(spr, name=None)
    failed = spr("accel-config", "enable-wq", "dsa0/wq0.0", status=1)
    assert "0x80040000" in failed.err + failed.out
    assert spr.machine.read(f"{DSA}/dsa0/cmd_status") == "0x80040000\n"


def test_a_shared_queue_needs_a_threshold(spr):
    configured(spr, mode="shared")
    failed = spr("accel-config", "enable-wq", "dsa0/wq0.0", status=1)
    assert "0x80060000" in failed.err + failed.out


def test_a_user_queue_needs_shared_virtual_addresses(inside):
    machine = inside("qemu-q35-dsa")
    configured(machine)
    failed = machine("accel-config", "enable-wq", "dsa0/wq0.0", status=1)
    assert "0x80110000" in failed.err + failed.out
    assert machine.machine.read(f"{DSA}/wq0.0/state") == "disabled\n"


def test_a_kernel_queue_feeds_a_dma_channel(inside):
    machine = inside("qemu-q35-dsa")
    configured(machine, type="kernel", name="dmaengine")
    machine("accel-config", "enable-wq", "dsa0/wq0.0")
    assert machine("ls", "/sys/class/dma").out == "dma0chan0\n"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("config-wq", "dsa0/wq0.1", "--group-id=9"), "valid group id"),
        (("config-engine", "dsa0/engine0.0", "--group-id=9"), "valid group id"),
        (("config-wq", "dsa0/wq0.0", "--priority=16"), "priority"),
        (("config-group", "dsa0/group0.0", "--traffic-class-a=2"), "traffic-class"),
    ],
)
def test_what_the_tool_refuses_by_what_it_read(spr, command, message):
    """accel-config checks these against the limits that the machine shows."""
    failed = spr("accel-config", *command, status=1)
    assert message in failed.err + failed.out


def test_a_plain_user_may_look_but_not_touch(command_line):
    looked = command_line("run", "--uid", "1000", "--", "accel-config", "list", "-i")
    assert looked.returncode == 0, looked.stderr
    assert '"dev":"dsa0"' in looked.stdout
    touched = command_line(
        "run", "--uid", "1000", "--", "accel-config", "config-wq", "dsa0/wq0.0", "--wq-size=8"
    )
    assert touched.returncode == 1
    assert "ermission" in touched.stderr
