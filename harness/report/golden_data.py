# SPDX-License-Identifier: Apache-2.0
"""The commands ``uapi-harness golden``: records of real kernels, and the table made of them."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

from harness import __version__
from harness.conformance import golden
from harness.conformance.cases import discover
from harness.conformance.fidelity import compare
from harness.conformance.records import State
from harness.conformance.runner import ConformError
from harness.conformance.targets import VM
from harness.data import write_whole
from harness.report.conform import run_all
from harness.report.fidelity import fidelity_markdown
from harness.vm import kernels, qemu

_BEGIN, _END = "<!-- fidelity: begin -->\n", "<!-- fidelity: end -->\n"


def record(
    targets: Sequence[str],
    folder: str | None,
    suites: Sequence[str] | None,
    pattern: str | None,
    output: TextIO,
) -> int:
    """Run cases on real kernels and write what they did into ``folder`` (None: where we look).

    1 if a case died or the kernel went against it, 3 if nothing could run. ConformError, VmError,
    GoldenError, OSError.
    """
    names = [target.removeprefix(VM) for target in targets if target.startswith(VM)]
    if len(names) < len(targets):
        raise ConformError(f"only real kernels are recorded; write --target {VM}6.1")
    runs = run_all(targets, names, suites, pattern)
    cases = {case.id: case for case in discover(suites)}
    every = discover()
    for run in runs:
        if run.exit_status == 3:
            output.write(f"{run.target}: nothing was recorded: {run.records[0].reason}\n")
            continue
        to = golden.folder() if folder is None else Path(folder)
        existing = {case.id for case in every if case.is_about(run.profile)}
        path = golden.write(run, cases, _provenance(run.profile), to, existing)
        passed = sum(one.state is State.PASS for one in run.records)
        output.write(f"{path}: {passed} of {len(run.records)} cases agree\n")
        for one in run.findings:
            output.write(f"  {one.state.value} {one.id}\n")
    return max(run.exit_status for run in runs)


def _provenance(kernel: str) -> Mapping[str, str]:
    image = kernels.build(kernel)
    return {
        "package": image.package,
        "version": image.version,
        "release": image.release,
        "qemu": qemu.version(),
        "accelerator": "tcg",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "uapi-harness": __version__,
    }


def write_table(document: str, targets: Sequence[str], profiles: Sequence[str]) -> bool:
    """Put the fidelity table between the marks in ``document``; whether that changed it.

    ConformError if the marks are not there; OSError, DataError.
    """
    path = Path(document)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConformError(f"{document}: not UTF-8") from None
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ConformError(f"{document}: no lines {_BEGIN.strip()} and {_END.strip()}")
    table = "\n".join(fidelity_markdown(compare(run_all(targets, profiles))))
    new = f"{before}{begin}{table}\n{end}{after}"
    if new != text:
        write_whole(path, new)
    return new != text
