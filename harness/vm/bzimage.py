# SPDX-License-Identifier: Apache-2.0
"""The kernel inside a bzImage.

An emulated processor takes longer to unpack a kernel than to boot it, so we unpack it beforehand.
The layout is that of the x86 boot protocol (Documentation/arch/x86/boot.rst): the setup code of
``setup_sects`` sectors, then the protected-mode code, at ``payload_offset`` of which is the
compressed kernel. Its last four bytes are the size that it unpacks to.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable

from harness.vm.programs import BuildError, need, run

_SECTOR = 512
_BOOT_FLAG = (0x1FE, 0xAA55)
_MAGIC = (0x202, b"HdrS")
#: The first version with the fields of the payload.
_OLDEST_PROTOCOL = 0x0208
_ELF = b"\x7fELF"


def vmlinux(image: bytes) -> bytes:
    """The uncompressed kernel, an ELF file. BuildError if ``image`` is no bzImage with one."""
    payload = _payload(image)
    for magic, unpack in _FORMATS.items():
        if payload.startswith(magic):
            try:
                kernel = unpack(payload)
            except (lzma.LZMAError, zlib.error, EOFError, OSError, ValueError) as error:
                raise BuildError(f"the kernel in the bzImage cannot be unpacked: {error}") from None
            break
    else:
        raise BuildError(f"the kernel in the bzImage is packed in no known way: {payload[:6]!r}")
    (size,) = struct.unpack("<I", payload[-4:])
    if len(kernel) != size or not kernel.startswith(_ELF):
        raise BuildError("the kernel in the bzImage unpacks to something else than promised")
    return kernel


def _payload(image: bytes) -> bytes:
    try:
        (flag,) = struct.unpack_from("<H", image, _BOOT_FLAG[0])
        magic, protocol = struct.unpack_from("<4sH", image, _MAGIC[0])
        offset, length = struct.unpack_from("<II", image, 0x248)
    except struct.error:
        raise BuildError("this is no bzImage: it is too short") from None
    if flag != _BOOT_FLAG[1] or magic != _MAGIC[1] or protocol < _OLDEST_PROTOCOL:
        raise BuildError("this is no bzImage: it has no header of boot protocol 2.08 or later")
    # 0 stands for 4, as in the oldest boot loaders' images.
    start = ((image[0x1F1] or 4) + 1) * _SECTOR + offset
    payload = image[start : start + length]
    if length < 8 or len(payload) != length:
        raise BuildError("this bzImage is cut short")
    return payload


def _by_program(*command: str) -> Callable[[bytes], bytes]:
    """Unpack by a program, which must not be shown the size behind its data."""

    def unpack(payload: bytes) -> bytes:
        need(command[0])
        return run(command, what=command[0], stdin=payload[:-4])

    return unpack


#: By how the payload begins. The standard library's unpackers stop where their data ends.
_FORMATS: dict[bytes, Callable[[bytes], bytes]] = {
    b"\x1f\x8b": lambda payload: zlib.decompressobj(31).decompress(payload),
    b"\xfd7zXZ\0": lambda payload: lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(payload),
    b"BZh": lambda payload: bz2.BZ2Decompressor().decompress(payload),
    b"\x5d\0\0": lambda payload: lzma.LZMADecompressor(lzma.FORMAT_ALONE).decompress(payload),
    b"\x28\xb5\x2f\xfd": _by_program("zstd", "-dc"),
    b"\x02\x21\x4c\x18": _by_program("lz4", "-dc"),
}
