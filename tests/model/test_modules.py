# SPDX-License-Identifier: Apache-2.0
"""Modules come and go as programs ask for it (init_module, delete_module)."""

import errno

import pytest

from harness.kernel.errors import Errno
from harness.kernel.module import delete_module, init_module
from harness.kernel.task import Credentials, LocalCaller
from harness.machine import load_machine

ROOT = LocalCaller()
#: Empty directories of what no module brings alone.
BUILT_IN = {"/sys/module", "/sys/class/dma"}


@pytest.fixture
def bare():
    return load_machine("no-driver", profile="6.12")


def load(machine, *names, arguments=b""):
    for name in names:
        init_module(machine.kernel, ROOT, name, arguments)


def unload(machine, *names):
    for name in names:
        delete_module(machine.kernel, ROOT, name)


def refused(function, machine, name, *arguments, caller=ROOT):
    with pytest.raises(Errno) as raised:
        function(machine.kernel, caller, name, *arguments)
    return errno.errorcode[raised.value.errno]


def test_a_module_brings_its_nodes_and_takes_them_along(bare):
    before = set(bare.tree())
    load(bare, "idxd_bus", "idxd")
    assert bare.devices("dsa")[0] == "dsa0"
    assert bare.read("/sys/module/idxd_bus/refcnt") == "1\n"
    assert bare.listdir("/sys/module/idxd_bus/holders") == ["idxd"]
    majors = dict(bare.kernel.devices.majors)
    unload(bare, "idxd", "idxd_bus")
    assert before <= set(bare.tree()) <= before | BUILT_IN
    load(bare, "idxd_bus", "idxd")
    assert bare.kernel.devices.majors == majors


def test_what_goes_says_so_in_the_kernels_order(bare):
    load(bare, "idxd_bus", "idxd")
    start = len(bare.uevents)
    unload(bare, "idxd", "idxd_bus")
    said = [(event.action, event.devpath) for event in bare.uevents[start:]]
    drivers = [path for action, path in said if path.startswith("/bus/") and action == "remove"]
    assert drivers == [
        "/bus/dsa/drivers/user",
        "/bus/dsa/drivers/dmaengine",
        "/bus/dsa/drivers/idxd",
        "/bus/pci/drivers/idxd",
        "/bus/dsa",
    ]
    assert said[-1] == ("remove", "/module/idxd_bus")
    assert ("unbind", "/devices/pci0000:6a/0000:6a:02.0") in said


def test_what_cannot_come(bare):
    assert refused(init_module, bare, "idxd", b"") == "ENOENT"
    load(bare, "idxd_bus")
    assert refused(init_module, bare, "idxd_bus", b"") == "EEXIST"
    assert refused(init_module, bare, "foo", b"") == "ENOEXEC"
    assert refused(init_module, bare, "idxd", b"sva=maybe") == "EINVAL"
    user = LocalCaller(credentials=Credentials(1000, 1000, frozenset(), 0))
    assert refused(init_module, bare, "idxd", b"", caller=user) == "EPERM"
    assert "idxd" not in bare.listdir("/sys/module")


def test_parameters_are_given(bare):
    load(bare, "idxd_bus")
    load(bare, "idxd", arguments=b"sva=0 tc-override unheard_of=1")
    assert bare.read("/sys/module/idxd/parameters/sva") == "N\n"
    assert bare.read("/sys/module/idxd/parameters/tc_override") == "Y\n"


def test_what_cannot_go(bare):
    load(bare, "idxd_bus", "idxd", "iaa_crypto")
    assert refused(delete_module, bare, "idxd_bus") == "EAGAIN"
    assert refused(delete_module, bare, "iaa_crypto") == "EAGAIN"  # it has a queue
    assert refused(delete_module, bare, "foo") == "ENOENT"
    user = LocalCaller(credentials=Credentials(1000, 1000, frozenset(), 0))
    assert refused(delete_module, bare, "idxd", caller=user) == "EPERM"
    bare.write("/sys/bus/dsa/drivers/crypto/unbind", "wq1.0")
    unload(bare, "iaa_crypto", "idxd")
    assert bare.listdir("/sys/module/idxd_bus/holders") == []


def test_an_init_that_fails_leaves_nothing(bare):
    from harness.kernel.system import Cpu

    load(bare, "idxd_bus")
    before = set(bare.tree())
    bare.kernel.cpu = Cpu(movdir64b=False)
    assert refused(init_module, bare, "idxd", b"") == "ENODEV"
    assert set(bare.tree()) == before
    assert bare.read("/sys/module/idxd_bus/refcnt") == "0\n"
