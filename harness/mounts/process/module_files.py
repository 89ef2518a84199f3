# SPDX-License-Identifier: Apache-2.0
"""A /lib/modules for the machine's kernel, in which modprobe and modinfo find its modules.

A module's file is a stub: an ELF object with nothing but the section ``.modinfo``, by which
:mod:`harness.mounts.process.kernel_calls` knows it again. What depends on what, and which aliases
there are, depmod of the host writes into indexes, as at any installation of a kernel. It reads
dependencies from symbols: each module exports one, and uses one of each that it depends on.

The folder is made once for a kernel and kept in the cache.
"""

from __future__ import annotations

import hashlib
import shutil
import struct
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from harness.mounts.process.errors import MountError
from harness.packages.errors import PackagesError
from harness.packages.places import cache_folder, locked, whole

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.kernel.module import Module
    from harness.kernel.system import Kernel

#: Where it may be, also for who has no system directories in PATH.
_DEPMOD = "/sbin:/usr/sbin:/bin:/usr/bin"
# Of ELF: a relocatable object of x86-64.
_EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
_SHDR = struct.Struct("<IIQQQQIIQQ")
_SYM = struct.Struct("<IBBHQQ")
_IDENT = b"\x7fELF\x02\x01\x01" + bytes(9)
_ET_REL, _EM_X86_64 = 1, 62
_PROGBITS, _SYMTAB, _STRTAB, _ALLOC = 1, 2, 3, 2
_GLOBAL, _ABS = 1 << 4, 0xFFF1


def module_folder(kernel: Kernel) -> Path:
    """A folder with ``modules/RELEASE`` for this kernel. MountError without depmod."""
    release = kernel.section.release
    files = {name: _stub(kernel, module) for name, module in kernel.module_files.items()}
    digest = hashlib.sha256(repr((release, sorted(files.items()))).encode()).hexdigest()[:16]
    try:
        folder = cache_folder() / "module-files" / digest
        if folder.exists():
            return folder / "lib"
        with locked(folder, lambda text: None), whole(folder) as partial:
            _make(partial, release, files)
    except PackagesError as error:
        raise MountError(str(error)) from None
    return folder / "lib"


def _make(root: Path, release: str, files: dict[str, bytes]) -> None:
    depmod = shutil.which("depmod", path=_DEPMOD)
    if depmod is None:
        raise MountError("there is no depmod here; Debian's package kmod has it")
    place = root / "lib" / "modules" / release
    kernel = place / "kernel"
    kernel.mkdir(parents=True)
    for name, content in files.items():
        (kernel / f"{name}.ko").write_bytes(content)
    for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
        (place / name).touch()
    done = subprocess.run(
        [depmod, "-b", str(root), release], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise MountError(f"depmod: {done.stderr.strip().partition(chr(10))[0]}")


def _stub(kernel: Kernel, module: Module) -> bytes:
    """The file of a module."""
    info = kernel.module_info.get(module.name)
    fields = [("version", info.version if info else None)]
    fields += [("alias", alias) for alias in module.aliases(kernel.profile)]
    fields += [("srcversion", info.srcversion if info else None)]
    needs = module.needs(kernel.profile)
    fields += [("depends", ",".join(sorted(needs, reverse=True)))]
    fields += [("intree", "Y"), ("name", module.name)]
    fields += [("vermagic", f"{kernel.section.release} SMP preempt mod_unload modversions ")]
    parameters = module.parameters_in(kernel.profile)
    fields += [("parmtype", f"{parameter.name}:{parameter.kind}") for parameter in parameters]
    modinfo = b"".join(f"{key}={text}".encode() + b"\0" for key, text in fields if text is not None)
    exported = [f"__crc_{_symbol(module.name)}"]
    return _elf(b"\0" + modinfo, exported, [_symbol(name) for name in needs])


def _symbol(module: str) -> str:
    return f"uapi_{module}"


def _elf(modinfo: bytes, defined: Iterable[str], undefined: Iterable[str]) -> bytes:
    """A relocatable object with the section .modinfo and these symbols."""
    strings, symbols = b"\0", _SYM.pack(0, 0, 0, 0, 0, 0)
    for name, section in [*((n, _ABS) for n in defined), *((n, 0) for n in undefined)]:
        symbols += _SYM.pack(len(strings), _GLOBAL, 0, section, 1 if section else 0, 0)
        strings += name.encode() + b"\0"
    names = b"\0.modinfo\0.symtab\0.strtab\0.shstrtab\0"
    contents = [modinfo, symbols, strings, names]
    offsets, position = [], _EHDR.size
    for content in contents:
        offsets.append(position)
        position += len(content)
    kinds = [(b".modinfo", _PROGBITS, _ALLOC, 0, 0, 0)]
    kinds += [(b".symtab", _SYMTAB, 0, 3, 1, _SYM.size)]
    kinds += [(b".strtab", _STRTAB, 0, 0, 0, 0), (b".shstrtab", _STRTAB, 0, 0, 0, 0)]
    headers = _SHDR.pack(*[0] * 10)
    for (title, kind, flags, link, first, size), content, offset in zip(
        kinds, contents, offsets, strict=True
    ):
        at = names.index(title + b"\0")
        headers += _SHDR.pack(at, kind, flags, 0, offset, len(content), link, first, 1, size)
    count = len(kinds) + 1
    header = _EHDR.pack(
        _IDENT, _ET_REL, _EM_X86_64, 1, 0, 0, position, 0, 64, 0, 0, _SHDR.size, count, count - 1
    )
    return header + b"".join(contents) + headers
