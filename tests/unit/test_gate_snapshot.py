# SPDX-License-Identifier: Apache-2.0
"""Snapshots: their file, its schema, and what is wrong with a file that is none."""

import json
from pathlib import Path

import jsonschema
import pytest

import harness.gate
from harness.data import load_yaml
from harness.gate.errors import GateError
from harness.gate.snapshot import (
    Behaviour,
    Field,
    Header,
    Ioctl,
    Snapshot,
    Struct,
    SysfsNode,
    load,
    write,
)

SCHEMA = json.loads((Path(harness.gate.__file__).parent / "snapshot.schema.json").read_text())
FULL = Snapshot(
    1,
    "everything",
    "x86_64",
    headers={
        "linux/lamp.h": Header(
            constants={"B": 0x10, "A": -1, "C": 3},
            enums={"enum e": {"E_ONE": 1, "E_ZERO": 0}},
            ioctls={"LAMP_ON": Ioctl(0x4C01, "none", 0), "LAMP_IN": Ioctl(1, "read", 4, "__u32")},
            macros={"F": "(x) (x: # y)"},
            strings={"S": '"a"'},
            structs={
                "struct s": Struct(
                    8,
                    4,
                    {
                        "z": Field(0, 4, "__u32", "unsigned"),
                        "a": Field(4, 4, "__u32", "unsigned", "32:3"),
                    },
                )
            },
            typedefs={"t": "__u32 (4 bytes, unsigned)"},
        )
    },
    skipped={"linux/bad.h": "line 1: unknown type name 'x'"},
    sysfs={
        "/sys/a": SysfsNode(mode=0o644, format="%d\n", values=("off", "on")),
        "/sys/b": SysfsNode(kind="link", visible="sometimes", status="testing"),
    },
    behaviours={"a::b[0\n]": Behaviour("fail", "EINVAL"), "a::c": Behaviour("pass")},
)


def test_round_trip(tmp_path):
    path = tmp_path / "one.yaml"
    write(FULL, path)
    assert load(path) == FULL
    jsonschema.validate(load_yaml(path), SCHEMA)
    before = path.read_text()
    write(load(path), path)
    assert path.read_text() == before


def test_one_thing_a_line_in_order(tmp_path):
    path = tmp_path / "one.yaml"
    write(FULL, path)
    lines = path.read_text().splitlines()
    names = [line.strip() for line in lines]
    assert names.index("A: -1") < names.index("B: 0x10") < names.index("C: 3")
    assert "z: {offset: 0, size: 4, type: __u32, kind: unsigned}" in names
    assert '/sys/a: {kind: file, mode: 0o644, format: "%d\\n", values: [off, on]}' in names


def test_comments_stay(tmp_path):
    path = tmp_path / "one.yaml"
    write(FULL, path)
    text = path.read_text()
    text = "# ours\n" + text.replace("B: 0x10", "B: 0x10  # the bit")
    path.write_text(text.replace("      LAMP_ON", "      # turns it on\n      LAMP_ON"))
    with_comments = path.read_text()
    write(FULL, path)
    assert path.read_text() == with_comments


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("schema: 2\nsource: x\n", "schema 2 is not 1"),
        ("a: [\n", ":2: "),
        ("- 1\n", "no snapshot"),
        ("", "no snapshot"),
        ("schema: 1\n", "source"),
        ("schema: 1\nsource: x\nsysfss: {}\n", ":3: unknown key sysfss; allowed: schema, source, "),
        ("schema: 1\nsource: x\nheaders: {a.h: {constant: {}}}\n", "constant"),
        ("schema: 1\nsource: x\nheaders: {a.h: {constants: {A: b}}}\n", "A"),
        ("schema: 1\nsource: x\nsysfs: [1]\n", "sysfs"),
        ("schema: 1\nsource: x\nsysfs: {/sys/a: {kind: fish}}\n", "sysfs['/sys/a']: "),
        ("schema: 1\nsource: x\nsysfs: {/sys/a: {visible: no}}\n", "sysfs['/sys/a']: "),
        (
            "schema: 1\nsource: x\nheaders: {a.h: {ioctls: "
            "{A: {number: 1, direction: up, size: 0}}}}\n",
            "headers['a.h'].ioctls['A']: ",
        ),
        (
            "schema: 1\nsource: x\nheaders: {a.h: {structs: {struct a: {size: 4, fields: "
            "{x: {offset: 0, size: 4, type: int, kind: signed, bits: 'a:b'}}}}}}\n",
            "headers['a.h'].structs['struct a'].fields['x']: ",
        ),
    ],
)
def test_bad_file(tmp_path, text, said):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(GateError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert said in message
    assert "\n" not in message


def test_what_is_no_snapshot_is_not_overwritten(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("# mine\na: 1\n")
    with pytest.raises(GateError, match="no snapshot"):
        write(FULL, path)
    assert path.read_text() == "# mine\na: 1\n"
    assert list(tmp_path.iterdir()) == [path]
