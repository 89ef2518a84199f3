# SPDX-License-Identifier: Apache-2.0
"""CPUs, their NUMA nodes, and masks of them as text (lib/bitmap.c, bitmap_print_to_pagebuf)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import frozen


@frozen
class Numa:
    """The CPUs of each node that is online."""

    nodes: Mapping[int, frozenset[int]]

    @property
    def cpu_count(self) -> int:
        """How many CPUs there are: the width of a mask (nr_cpu_ids)."""
        return max(self.cpus(-1)) + 1

    def cpus(self, node: int) -> frozenset[int]:
        """A node's CPUs; all of them for no node (-1)."""
        if node in self.nodes:
            return self.nodes[node]
        return frozenset().union(*self.nodes.values())


def parse_cpulist(text: str) -> frozenset[int]:
    """``"0-3,8"`` -> {0, 1, 2, 3, 8}; ValueError for other text."""
    cpus: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        cpus.update(range(int(first), int(last if dash else first) + 1))
    return frozenset(cpus)


def cpulist(cpus: Iterable[int]) -> str:
    """Ranges, ``0-3,8``."""
    ranges: list[list[int]] = []
    for cpu in sorted(cpus):
        if ranges and ranges[-1][1] == cpu - 1:
            ranges[-1][1] = cpu
        else:
            ranges.append([cpu, cpu])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges)


def cpumap(cpus: Iterable[int], count: int) -> str:
    """A mask of ``count`` bits in hexadecimal, a comma every 32 bits."""
    digits = f"{sum(1 << cpu for cpu in cpus):0{-(-count // 4)}x}"
    groups = [digits[max(end - 8, 0) : end] for end in range(len(digits), 0, -8)]
    return ",".join(reversed(groups))
