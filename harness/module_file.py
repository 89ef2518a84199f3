# SPDX-License-Identifier: Apache-2.0
"""A user's own module: a Python file that defines ``MODULE`` (see docs/writing-modules.md).

What is wrong in such a file is said in one line: the file, the line, and what.
"""

from __future__ import annotations

import os
import sys
from importlib.util import module_from_spec, spec_from_file_location
from traceback import extract_tb

from harness.kernel.errors import Errno
from harness.kernel.module import Module

#: The variable that names files whose modules every new machine gets, as PATH does folders.
VARIABLE = "UAPI_MODULES"
_WANTED = "it has to define MODULE = Module(NAME, INIT); see docs/writing-modules.md"
#: Files that were read, whose errors are their authors'.
_files: set[str] = set()


class ModuleFileError(ValueError):
    """``FILE:LINE: what``."""


def files_of_environment() -> list[str]:
    """The files that the variable names."""
    return [file for file in os.environ.get(VARIABLE, "").split(os.pathsep) if file]


def read(path: str | os.PathLike[str]) -> Module:
    """The module of a file, which is run anew for each machine. ModuleFileError."""
    file = os.path.abspath(path)
    name = os.path.splitext(os.path.basename(file))[0]
    spec = spec_from_file_location(f"uapi_module_{name}", file)
    if spec is None or spec.loader is None:
        raise ModuleFileError(f"{path}: a module is a Python file, FILE.py")
    namespace = module_from_spec(spec)
    _files.add(file)
    # dataclasses and the like look their own module up there.
    sys.modules[spec.name] = namespace
    try:
        spec.loader.exec_module(namespace)
    except SyntaxError as error:
        place = f"{error.filename or file}:{error.lineno or 1}"
        raise ModuleFileError(f"{place}: {error.msg}") from None
    except OSError as error:
        if error.filename != file:
            raise ModuleFileError(describe(error) or f"{path}: {error}") from None
        raise ModuleFileError(f"{path}: {error.strerror}") from None
    except (Exception, SystemExit) as error:
        raise ModuleFileError(describe(error) or f"{path}: {error}") from None
    found = getattr(namespace, "MODULE", None)
    if not isinstance(found, Module):
        what = "there is no MODULE" if found is None else f"MODULE is {found!r}"
        raise ModuleFileError(f"{path}: {what}; {_WANTED}")
    return found


def describe(error: BaseException) -> str | None:
    """``FILE:LINE: what`` if the error passed through a file of a user's module."""
    frames = [frame for frame in extract_tb(error.__traceback__) if frame.filename in _files]
    if not frames:
        return None
    text = str(error).partition("\n")[0]
    what = text if isinstance(error, Errno) else f"{type(error).__name__}: {text}".rstrip(": ")
    return f"{frames[-1].filename}:{frames[-1].lineno}: {what}, in {frames[-1].name}"
