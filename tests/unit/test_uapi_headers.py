# SPDX-License-Identifier: Apache-2.0
"""Every number, flag, size and offset in harness/uapi is what the installed headers say.

What a header does not have, because it is older than our table, is skipped by name; how many were
compared is checked, so that no table is skipped whole.
"""

import ctypes
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from harness.packages import PackagesError, Suite, silent
from harness.uapi import idxd, iommufd, vfio

#: Headers of another kernel than the installed ones: a directory to search first.
HEADERS = os.environ.get("UAPI_HEADERS")

#: What our tables have that no header for programs has.
NOT_IN_HEADERS = {
    "VFIO_PCI_OFFSET_SHIFT",
    # idxd: registers.h is the driver's own.
    "IDXD_EVL_SIZE_MIN",
    "IDXD_EVL_SIZE_MAX",
}
#: Names of idxd's that are registers, hence the driver's own.
REGISTERS = re.compile(
    r"DEVICE_VERSION_|IDXD_(?!SCMD_|OP_FLAG_)|WQCFG_|GRP|MSIX_PERM|CMD_INT_HANDLE|INTCAUSE"
)


def numbers(module: ModuleType) -> Iterator[tuple[str, int]]:
    """The names and values of a table."""
    for name, value in vars(module).items():
        if not name.isupper() and not name.startswith(("VFIO_", "IDXD_")):
            continue
        if isinstance(value, int) and name not in NOT_IN_HEADERS:
            if module is idxd and REGISTERS.match(name):
                continue
            yield name, value


def structures(module: ModuleType) -> Iterator[tuple[str, type[ctypes.Structure]]]:
    """The structures of a table, and their names in C."""
    for value in vars(module).values():
        if isinstance(value, type) and hasattr(value, "c_name"):
            yield value.c_name, value


def fields(structure: type[ctypes.Structure]) -> Iterator[str]:
    """All fields but bit fields and reserved ones, which a later kernel may cut up."""
    for kind in reversed(structure.__mro__):
        for name, _, *bits in vars(kind).get("_fields_", ()):
            if not bits and not name.startswith(("reserved", "rsvd")):
                yield name


def questions(module: ModuleType) -> Iterator[tuple[str, str, int]]:
    """What is asked, the same in C, and what we say."""
    for name, value in numbers(module):
        yield name, f"(unsigned int)({name})", value & 0xFFFFFFFF
    for c_name, structure in structures(module):
        expressions = []
        for name in fields(structure):
            field = getattr(structure, name)
            place = f"struct {c_name}, {name}"
            expressions.append(f"offsetof({place})")
            yield f"{c_name}.{name}", expressions[-1], field.offset
            size = f"sizeof(((struct {c_name} *)0)->{name})"
            yield f"{c_name}.{name} size", size, field.size
        if not structure.__subclasses__():  # else it is only the first part
            # With a field that the header lacks, it is not taken either.
            whole = "".join(f" + 0 * {expression}" for expression in expressions)
            yield f"{c_name} size", f"sizeof(struct {c_name}){whole}", ctypes.sizeof(structure)


def ask(
    header: str, expressions: list[str], directory: Path, headers: str | Path | None
) -> dict[int, int]:
    """What a compiler makes of the expressions that it takes, by their place."""
    source, program = directory / "probe.c", directory / "probe"
    left = list(enumerate(expressions))
    environment = {**os.environ, "LC_ALL": "C"}
    include = [f"-I{headers}"] if headers else []
    for _ in range(3):
        lines = [
            f"#include <stddef.h>\n#include <stdint.h>\n#include <stdio.h>\n#include <{header}>\n"
            "static const unsigned long long values[] = {",
            *(f"{expression}," for _, expression in left),
            "};\nint main(void) { for (unsigned i = 0; i < sizeof(values) / 8; i++)"
            ' printf("%llu\\n", values[i]); return 0; }',
        ]
        source.write_text("\n".join(lines) + "\n")
        command = ["gcc", *include, "-o", str(program), str(source)]
        compiled = subprocess.run(command, capture_output=True, text=True, env=environment)
        if compiled.returncode == 0:
            output = subprocess.run([program], capture_output=True, text=True, check=True).stdout
            return {place: int(line) for (place, _), line in zip(left, output.split(), strict=True)}
        # The first expression is on line 6.
        bad = {int(n) - 6 for n in re.findall(r"probe\.c:(\d+):\d+: error", compiled.stderr)}
        left = [question for place, question in enumerate(left) if place not in bad]
    raise AssertionError(compiled.stderr)


def installed(header: str) -> bool:
    """Whether the header is there to be compiled with."""
    return any(Path(place, header).is_file() for place in (HEADERS or "", "/usr/include"))


def newer_headers(tmp_path_factory):
    """Those of Debian's newest kernel, for a header that the installed ones are too old for."""
    folder = tmp_path_factory.mktemp("headers")
    try:
        suite = Suite("sid", progress=silent)
        suite.extract(folder, suite.package("linux-libc-dev"))
    except PackagesError as error:
        pytest.skip(str(error))
    return folder / "usr/include"


@pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc")
@pytest.mark.parametrize(
    ("module", "header", "at_least"),
    [(vfio, "linux/vfio.h", 300), (iommufd, "linux/iommufd.h", 90), (idxd, "linux/idxd.h", 40)],
    ids=["vfio", "iommufd", "idxd"],
)
def test_tables_are_what_the_headers_say(
    module, header, at_least, tmp_path, tmp_path_factory, record_property
):
    include = HEADERS if installed(header) else newer_headers(tmp_path_factory)
    asked = list(questions(module))
    answers = ask(header, [expression for _, expression, _ in asked], tmp_path, include)
    wrong = {
        name: (ours, answers[place])
        for place, (name, _, ours) in enumerate(asked)
        if place in answers and answers[place] != ours
    }
    assert wrong == {}
    skipped = [name for place, (name, _, _) in enumerate(asked) if place not in answers]
    record_property("skipped", " ".join(skipped))
    print(f"{header}: {len(answers)} compared, {len(skipped)} newer than it: {skipped}")
    assert len(answers) >= at_least
