# SPDX-License-Identifier: Apache-2.0
"""The adversarial set as abidiff (libabigail) judges it, beside the verdict that is right.

``python tests/gate/beside_abidiff.py`` prints the table. abidiff compares the types of two objects,
as the kernel's check-uapi.sh has it do. Its exit status has bit 3 for an incompatible change and
bit 2 for any change.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from mutations import HERE, changed

from harness.data import load_yaml

BASE = (HERE / "lamp.h").read_text()
_CHANGED, _INCOMPATIBLE = 4, 8
_COMPILE = ("gcc", "-w", "-g", "-fno-eliminate-unused-debug-types", "-c", "-x", "c")


def abidiff(new, folder):
    """What it says of lamp.h become ``new``: nothing, change, incompatible or error."""
    for name, text in (("old", BASE), ("new", new)):
        (folder / name).mkdir(exist_ok=True)
        source = folder / name / "lamp.h"
        # An object without a symbol is none for it.
        source.write_text(f"{text}\nint uapi;\n")
        subprocess.run([*_COMPILE, source, "-o", folder / f"{name}.o"], check=True)
    command = ["abidiff", "--non-reachable-types", folder / "old.o", folder / "new.o"]
    status = subprocess.run(command, capture_output=True, check=False).returncode
    if status & ~(_CHANGED | _INCOMPATIBLE):
        return "error"
    return "incompatible" if status & _INCOMPATIBLE else "change" if status else "nothing"


def main():
    blind = breaking = 0
    with tempfile.TemporaryDirectory() as folder:
        for entry in load_yaml(HERE / "header_mutations.yaml"):
            said = abidiff(changed(BASE, entry["edits"]), Path(folder))
            print(f"{entry['verdict']:<12}{said:<14}{entry['name']}", flush=True)
            if entry["verdict"] == "breaking":
                breaking += 1
                blind += said == "nothing"
    print(f"abidiff says nothing of {blind} of {breaking} breaking changes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
