# SPDX-License-Identifier: Apache-2.0
"""Ranges that do not overlap, against a plain list."""

import random

from attrs import define
from hypothesis import given
from hypothesis import strategies as st

from harness.kernel.interval import IntervalMap


@define(eq=False)
class Span:
    start: int
    last: int


def filled(spans):
    intervals = IntervalMap()
    for span in spans:
        intervals.insert(span)
    return intervals


@given(
    st.lists(st.integers(0, 2000), unique=True, max_size=200),
    st.integers(0, 2100),
    st.integers(0, 300),
    st.randoms(use_true_random=False),
)
def test_finds_what_a_list_finds(starts, start, length, chance):
    spans = [Span(3 * n, 3 * n + 1) for n in starts]
    intervals = filled(spans)
    gone = chance.sample(spans, len(spans) // 3)
    for span in gone:
        intervals.remove(span)
    left = sorted((span for span in spans if span not in gone), key=lambda span: span.start)
    last = start + length
    expected = [span for span in left if span.start <= last and span.last >= start]
    assert list(intervals.overlapping(start, last)) == expected
    assert intervals.first(start, last) is (expected[0] if expected else None)
    assert list(intervals) == left
    assert len(intervals) == len(left)


def test_many_in_any_order():
    numbers = list(range(20000))
    random.Random(1).shuffle(numbers)
    spans = {n: Span(10 * n, 10 * n + 9) for n in numbers}
    intervals = filled(spans.values())
    assert [span.start for span in intervals] == [10 * n for n in range(20000)]
    gone = set(numbers[::2])
    for n in gone:
        intervals.remove(spans[n])
    for n in numbers[:100]:
        assert intervals.at(10 * n + 5) is (None if n in gone else spans[n])
    intervals.clear()
    assert len(intervals) == 0
    assert intervals.first(0, 1 << 64) is None
