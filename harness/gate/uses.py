# SPDX-License-Identifier: Apache-2.0
"""An observer that writes down which uAPI programs use: nodes, commands, and constants in both."""

from __future__ import annotations

import errno
from collections import defaultdict
from collections.abc import Iterable

from attrs import define, field

from harness.config_accesses import ConfigAccesses
from harness.ioctl_arguments import Exchange, command_of, exchange_of, is_vfio_device, names
from harness.kernel.trace import Event
from harness.node_patterns import pattern
from harness.uapi import vfio
from harness.uapi.node_values import NODE_VALUES

#: What programs do to a node; finding their way there is not among it.
_USES = frozenset({"read", "write", "readlink", "readdir", "ioctl", "mmap", "poll"})
_PASSED, _GIVEN = "passed", "given"
_OF_A_FUNCTION = "/<function>/config"


@define
class Uses:
    """What was used so far. ``constants`` are commands, and nodes, by constant and way."""

    nodes: dict[str, set[str]] = field(factory=lambda: defaultdict(set))
    ioctls: set[str] = field(factory=set)
    constants: dict[tuple[str, str], set[str]] = field(factory=lambda: defaultdict(set))
    _exchanges: dict[Event, Exchange] = field(factory=dict)
    _configs: dict[str, ConfigAccesses] = field(factory=lambda: defaultdict(ConfigAccesses))

    def before(self, event: Event) -> None:
        """What is passed need not be there any more after the call."""
        exchange = exchange_of(event)
        if exchange is not None:
            self._exchanges[event] = exchange

    def after(self, event: Event) -> None:
        """Uses by programs, whatever the answer was; a command that no file knows is none."""
        if event.task is None or event.operation not in _USES:
            return
        if event.operation == "ioctl" and not self._sent(event):
            return
        if event.operation in ("read", "write") and not event.errno:
            self._transferred(event)
        if event.object.startswith(("/sys/", "/dev/")):
            self.nodes[pattern(event.object)].add(event.operation)

    def _sent(self, event: Event) -> bool:
        number, _ = event.arguments
        exchange = self._exchanges.pop(event, None)
        command = command_of(event.object, number)
        if command is None and event.errno == errno.ENOTTY:
            return False
        name = command.name if command is not None else f"{number:#x}"
        self.ioctls.add(name)
        if exchange is not None:
            self._took(_PASSED, exchange.passed, name)
            self._took(_GIVEN, () if event.errno else exchange.given(event.result), name)
        return True

    def _transferred(self, event: Event) -> None:
        """Configuration space, by its file or by VFIO; numbers that nodes show."""
        offset, written = event.arguments
        where = pattern(event.object)
        values = NODE_VALUES.get(where.rpartition("/")[2])
        if values is not None and event.operation == "read":
            self._took(_GIVEN, names(values, _number(event.result)), where)
        if is_vfio_device(event.object):
            region, offset = divmod(offset, 1 << vfio.VFIO_PCI_OFFSET_SHIFT)
            where = "VFIO_PCI_CONFIG_REGION_INDEX"
            if region != vfio.VFIO_PCI_CONFIG_REGION_INDEX:
                return
        elif not where.endswith(_OF_A_FUNCTION):
            return
        config = self._configs[event.object]
        if event.operation == "read":
            self._took(_GIVEN, config.read(offset, event.result), where)
        else:
            self._took(_PASSED, config.write(offset, written), where)

    def _took(self, way: str, constants: Iterable[str], where: str) -> None:
        for constant in constants:
            self.constants[constant, way].add(where)

    def by_constant(self) -> dict[str, dict[str, tuple[str, ...]]]:
        """The constants as :class:`harness.gate.coverage.Coverage` has them."""
        found: dict[str, dict[str, tuple[str, ...]]] = defaultdict(dict)
        for (constant, way), where in sorted(self.constants.items()):
            found[constant][way] = tuple(sorted(where))
        return found


def _number(text: bytes) -> int:
    """What a node shows, as ``%#x`` prints it; 0, which no error is, if that is no number."""
    try:
        return int(text, 0)
    except ValueError:
        return 0
