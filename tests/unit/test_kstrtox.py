# SPDX-License-Identifier: Apache-2.0
"""Number and word parsing of attribute stores, against the rules of lib/kstrtox.c 6.1."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.kernel.errors import Errno
from harness.kernel.kstrtox import (
    kstrtobool,
    kstrtoint,
    kstrtol,
    kstrtouint,
    kstrtoul,
    kstrtoull,
    sysfs_streq,
)


@pytest.mark.parametrize(
    ("text", "base", "value"),
    [
        (b"0", 10, 0),
        (b"7\n", 10, 7),
        (b"+7", 10, 7),
        (b"0x10", 0, 16),
        (b"0X1f\n", 0, 31),
        (b"010", 0, 8),
        (b"0", 0, 0),
        (b"0x10", 16, 16),
        (b"10", 16, 16),
        (b"12\x0034", 10, 12),
        (b"18446744073709551615", 10, 2**64 - 1),
    ],
)
def test_unsigned_numbers_are_read(text, base, value):
    assert kstrtoull(text, base) == value


@pytest.mark.parametrize(
    ("text", "base"),
    [
        (b"", 10),
        (b"\n", 10),
        (b"7\n\n", 10),
        (b" 7", 10),
        (b"7 ", 10),
        (b"-1", 10),
        (b"0x10", 10),
        (b"1_0", 10),
        (b"0x", 0),
        (b"08", 0),
        (b"++1", 10),
        ("٣".encode(), 10),
    ],
)
def test_other_text_is_einval(text, base):
    with pytest.raises(Errno) as raised:
        kstrtoull(text, base)
    assert raised.value.errno == errno.EINVAL


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (kstrtoul, b"18446744073709551616"),
        (kstrtouint, b"4294967296"),
        (kstrtoint, b"2147483648"),
        (kstrtoint, b"-2147483649"),
        (kstrtol, b"9223372036854775808"),
    ],
)
def test_too_large_is_erange(function, text):
    with pytest.raises(Errno) as raised:
        function(text, 10)
    assert raised.value.errno == errno.ERANGE


@given(st.integers(-(2**31), 2**31 - 1), st.booleans())
def test_every_int_is_read_back(value, newline):
    assert kstrtoint(str(value).encode() + b"\n" * newline, 10) == value


@pytest.mark.parametrize("text", [b"y", b"Yes", b"1", b"1x", b"on", b"ON\n", b"true"])
def test_true_words(text):
    assert kstrtobool(text)


@pytest.mark.parametrize("text", [b"n", b"No", b"0", b"off", b"of", b"false"])
def test_false_words(text):
    assert not kstrtobool(text)


def test_words_that_later_kernels_take():
    assert kstrtobool(b"Enabled", words=True)
    assert not kstrtobool(b"disable", words=True)
    with pytest.raises(Errno):
        kstrtobool(b"enabled")


@pytest.mark.parametrize("text", [b"", b"2", b"o", b"ox", b" 1", b"\n"])
def test_no_boolean_is_einval(text):
    with pytest.raises(Errno) as raised:
        kstrtobool(text)
    assert raised.value.errno == errno.EINVAL


def test_words_are_equal_but_for_one_newline():
    assert sysfs_streq(b"user\n", "user")
    assert sysfs_streq(b"user\0rest", "user")
    assert not sysfs_streq(b"user\n\n", "user")
    assert not sysfs_streq(b" user", "user")
    assert not sysfs_streq(b"use", "user")
