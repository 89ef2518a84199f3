# SPDX-License-Identifier: Apache-2.0
"""Headers that were changed on purpose: every verdict right, and no false alarm."""

import shutil

import pytest
from mutations import HERE, changed, expect, mutations

from harness.gate.headers import read_headers
from harness.gate.judge import judge
from harness.gate.snapshot import SCHEMA, Snapshot

BASE = (HERE / "lamp.h").read_text()

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc here")


def snapshot_of(text, folder):
    (folder / "linux").mkdir()
    (folder / "linux" / "lamp.h").write_text(text)
    read = read_headers(folder)
    return Snapshot(SCHEMA, "lamp", read.architecture, read.headers, read.skipped)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return snapshot_of(BASE, tmp_path_factory.mktemp("base"))


@pytest.mark.parametrize("entry", mutations("header_mutations.yaml"))
def test_header_mutation(entry, base, tmp_path):
    expect(judge(base, snapshot_of(changed(BASE, entry["edits"]), tmp_path)), entry)


def test_there_are_enough_of_them():
    assert len(mutations("header_mutations.yaml")) >= 40


def test_values_and_layouts(base):
    header = base.headers["linux/lamp.h"]
    assert header.constants["LAMP_COLOUR_MASK"] == 7
    assert header.enums["enum lamp_state"]["__LAMP_STATE_MAX"] == 3
    assert header.strings["LAMP_NAME"] == '"lamp"'
    assert header.ioctls["LAMP_RESET"].number == ord("L") << 8 | 65
    swap = header.ioctls["LAMP_SWAP"]
    assert (swap.direction, swap.size, swap.struct) == ("read-write", 8, "__u64")
    level = header.structs["struct lamp_level"]
    assert (level.size, level.align) == (16, 8)
    assert (level.fields["since"].offset, level.fields["since"].kind) == (8, "unsigned")
    event = header.structs["struct lamp_event"].fields
    assert event["urgent"].bits == "100:1"
    assert event["level"].offset == event["bulb"].offset == 4


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("(-7)", -7),
        ("0xffffffffffffffffULL", (1 << 64) - 1),
        ("(-9223372036854775807LL - 1)", -(1 << 63)),
        ("sizeof(__u32)", 4),
        ("LATER", 5),
        ("((void *)-1)", None),
        ("__u32", None),
        ("1.5", None),
        ("(", None),
        ("if (1) {", None),
        ("some_function", None),
    ],
)
def test_what_is_a_number(text, value, tmp_path):
    source = f"#include <linux/types.h>\n#define WHAT {text}\n#define GOOD 1\n#define LATER 5\n"
    constants = snapshot_of(source, tmp_path).headers["linux/lamp.h"].constants
    assert constants.get("WHAT") == value
    assert constants["GOOD"] == 1


def test_a_header_of_macros_alone(tmp_path):
    header = snapshot_of("#define ONE 1\n", tmp_path).headers["linux/lamp.h"]
    assert header.constants == {"ONE": 1}
