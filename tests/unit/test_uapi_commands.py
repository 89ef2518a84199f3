# SPDX-License-Identifier: Apache-2.0
"""The tables of commands put each constant where the headers say that it belongs.

linux/vfio.h defines a field's constants within the braces of its structure, behind the field, or in
an enum; linux/iommufd.h says in words of which enum a field is; in linux/pci_regs.h a flag stands
below its register, one space further in. What is said in no such way is listed here.
"""

import re
from collections import defaultdict
from pathlib import Path

import pytest
from test_uapi_headers import HEADERS, installed, newer_headers

from harness.uapi import idxd, iommufd, pci_regs, vfio
from harness.uapi.iommufd_commands import IOMMUFD
from harness.uapi.node_values import NODE_VALUES
from harness.uapi.vfio_commands import CONTAINER, DEVICE, GROUP, MIGRATION

#: Fields of VFIO whose constants the header tells in words alone; None is what has no field.
IN_WORDS = {
    ("vfio_device_info", "num_regions"),
    ("vfio_device_info", "num_irqs"),
    ("vfio_region_info_cap_type", "type"),
    ("VFIO_GET_API_VERSION", "result"),
    ("VFIO_CHECK_EXTENSION", "argument"),
    ("VFIO_SET_IOMMU", "argument"),
}
#: The same of iommufd: as of iommu_ioas_map; enums that are called otherwise.
IN_OTHER_WORDS = {
    ("iommu_ioas_map_file", "flags"),
    ("iommu_hw_info", "flags"),
    ("iommu_hw_info", "out_capabilities"),
}
#: Several bits together, which no field holds.
MASKS = {"VFIO_DEVICE_IOEVENTFD_SIZE_MASK", "VFIO_DEVICE_FEATURE_MASK"}
#: Names that are no member of their kind: how many there are, and another name of zero.
NO_MEMBERS = {
    "VFIO_PCI_NUM_REGIONS",
    "VFIO_PCI_NUM_IRQS",
    "VFIO_DEVICE_STATE_NR",
    "IOMMU_HW_INFO_TYPE_DEFAULT",
}


@pytest.fixture(scope="session")
def text(tmp_path_factory):
    """``text(header)``: what is in it."""

    def read(header):
        here = HEADERS or "/usr/include"
        folder = here if installed(header) else newer_headers(tmp_path_factory)
        return Path(folder, header).read_text()

    return read


def fields_of(*tables):
    """The names in the tables by structure, or command, and field."""
    found = defaultdict(set)
    for command in (command for table in tables for command in table.values()):
        for where in ("argument", "result"):
            found[command.name, where] |= names(getattr(command, where))
        for part in parts_of(command):
            for field, constants in [*part.passed.items(), *part.given.items()]:
                found[part.structure.c_name, field] |= names(constants)
    return {place: held for place, held in found.items() if held}


def parts_of(command):
    """Its structure, and those that follow it."""
    told = [one.parts for one in (command.chain, command.payload) if one is not None]
    return filter(None, [command.part, *(part for parts in told for _, part in parts.values())])


def names(constants):
    return {*constants.bits, *constants.values}


def structures(*tables):
    return {structure for structure, _ in fields_of(*tables)}


def without_comments(text):
    return re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)


def within_braces(text):
    """Structure and field by constant: the field that its #define stands behind."""
    found, structure, field = {}, None, None
    for line in without_comments(text).splitlines():
        if match := re.match(r"struct (\w+) \{", line):
            structure, field = match[1], None
        elif line.startswith("}"):
            structure = None
        elif structure and (match := re.match(r"\s*#\s*define\s+(\w+)\s", line)):
            found[match[1]] = structure, field
        elif structure and (match := re.match(r"\s+[\w\s]+\s(\w+)(?:\[\w*\])?;", line)):
            field = match[1]
    return found


def enums(text):
    """The enumerators of each enum, by its name or number."""
    found = re.findall(r"enum (\w*) ?\{(.*?)\}", without_comments(text), flags=re.DOTALL)
    return {
        name or number: set(re.findall(r"^\s*(\w+)", body, flags=re.MULTILINE))
        for number, (name, body) in enumerate(found)
    }


def test_vfio_constants_stand_behind_their_field(text):
    said = within_braces(text("linux/vfio.h"))
    tables = fields_of(CONTAINER, GROUP, DEVICE, MIGRATION)
    ours = {(name, place) for place, held in tables.items() for name in held}
    here = structures(CONTAINER, GROUP, DEVICE, MIGRATION)
    theirs = {
        (name, place)
        for name, place in said.items()
        if place[0] in here and hasattr(vfio, name) and name not in MASKS
    }
    assert {one for one in ours if one[0] in said} == theirs
    assert len(theirs) > 45


def test_other_vfio_constants_are_whole_enums_or_in_words(text):
    header = text("linux/vfio.h")
    said, kinds = within_braces(header), enums(header).values()
    missing = []
    for place, held in fields_of(CONTAINER, GROUP, DEVICE, MIGRATION).items():
        known = {name for name in held if re.search(rf"\b{name}\b", header)}
        known -= said.keys()
        if known and place not in IN_WORDS and known not in [kind - NO_MEMBERS for kind in kinds]:
            missing.append((place, known))
    assert missing == []


def test_iommufd_constants_are_of_the_enum_that_the_words_say(text):
    header = text("linux/iommufd.h")
    kinds, said = enums(header), {}
    for body, structure in re.findall(r"/\*\*(.*?)\*/\s*struct (\w+) \{", header, re.DOTALL):
        for field, words in re.findall(r"@(\w+): ((?:[^@]|\n)*)", body):
            for kind in re.findall(r"enum\s[\s*]*(\w+)", words):
                said[structure, field] = kinds.get(kind, set()) - NO_MEMBERS
    tables = fields_of(IOMMUFD)
    assert tables.keys() - said.keys() <= IN_OTHER_WORDS
    for place, held in tables.items():
        if place not in IN_OTHER_WORDS:
            assert held == {name for name in said[place] if hasattr(iommufd, name)}, place
    assert len(tables.keys() - IN_OTHER_WORDS) > 6


DEFINED = re.compile(r"#\s*define( +)(PCI_\w+)\s+(0x[0-9a-fA-F]+|\d+)\b")
REGISTERS = [
    *pci_regs.DEVICE,
    *pci_regs.BRIDGE,
    *pci_regs.CAPABILITY,
    *pci_regs.EXTENDED_CAPABILITY,
    *(one for table in pci_regs.CAPABILITIES.values() for one in table),
    *(one for table in pci_regs.EXTENDED_CAPABILITIES.values() for one in table),
]


def test_registers_and_their_flags(text):
    """Ids of extended capabilities stand in a list of their own."""
    numbers, registers, last = {}, {}, None
    for spaces, name, number in DEFINED.findall(without_comments(text("linux/pci_regs.h"))):
        numbers[name] = int(number, 0)
        if len(spaces) == 1:
            last = name
        registers[name] = last
    checked = 0
    for register in REGISTERS:
        held = {**register.constants.bits, **register.constants.values}
        ours = held | ({register.name: register.offset} if register.name is not None else {})
        assert {name: numbers.get(name, value) for name, value in ours.items()} == ours
        for name in held.keys() & numbers.keys():
            assert register.name is None or registers[name] == register.name
        checked += len(ours.keys() & numbers.keys())
    assert checked > 150


@pytest.mark.parametrize(
    ("module", "tables", "first"),
    [(vfio, (CONTAINER, GROUP, DEVICE, MIGRATION), 0x3B64), (iommufd, (IOMMUFD,), 0x3B80)],
    ids=["vfio", "iommufd"],
)
def test_every_command_is_in_a_table(module, tables, first):
    known = {name for name, value in vars(module).items() if isinstance(value, int)}
    commands = {name for name in known if first <= getattr(module, name) < 0x3C00}
    ours = [command for table in tables for command in table.values()]
    assert sorted(command.name for command in ours) == sorted(commands)
    for command in ours:
        assert getattr(module, command.name) == command.number


def test_fields_are_of_their_structures():
    for table in (CONTAINER, GROUP, DEVICE, MIGRATION, IOMMUFD):
        for command in table.values():
            for part in parts_of(command):
                assert all(hasattr(part.structure, name) for name in (*part.passed, *part.given))


def test_numbers_that_nodes_show_are_a_whole_enum(text):
    kind = enums(text("linux/idxd.h"))["idxd_scmd_stat"]
    assert kind == names(NODE_VALUES["cmd_status"]) & kind
    known = {name for name in vars(idxd) if name.startswith("IDXD_SCMD_")}
    assert names(NODE_VALUES["cmd_status"]) == known - {"IDXD_SCMD_SOFTWARE"}
