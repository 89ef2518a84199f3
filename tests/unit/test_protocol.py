# SPDX-License-Identifier: Apache-2.0
"""The codec of the agent protocol."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.agent.program import (
    HEADER,
    MAX_MESSAGE,
    Message,
    Op,
    ProtocolError,
    Status,
    body_length,
    decode,
    encode,
)

i64 = st.integers(-(1 << 63), (1 << 63) - 1)
u32 = st.integers(0, (1 << 32) - 1)
messages = st.builds(
    Message,
    op=st.sampled_from(Op).map(int),
    request=u32,
    task=u32,
    fields=st.lists(i64 | st.binary(max_size=40)).map(tuple),
    result=i64,
    error=u32,
    status=st.sampled_from(Status).map(int),
)


@given(messages)
def test_what_is_encoded_is_decoded(message):
    data = encode(message)
    header, body = data[: HEADER.size], data[HEADER.size :]
    assert body_length(header) == len(body)
    assert decode(header, body) == message


@given(st.binary(min_size=HEADER.size, max_size=HEADER.size), st.binary(max_size=200))
def test_anything_else_is_a_protocol_error(header, body):
    try:
        length = body_length(header)
        message = decode(header, body)
    except ProtocolError:
        return
    assert 0 <= length <= MAX_MESSAGE - HEADER.size
    assert len(encode(message)) <= HEADER.size + len(body)


@given(messages, st.data())
def test_a_changed_byte_never_does_more_than_change_the_message(message, data):
    encoded = bytearray(encode(message))
    position = data.draw(st.integers(HEADER.size, len(encoded)), label="position")
    if position == len(encoded):
        encoded.append(1)
    else:
        encoded[position] ^= data.draw(st.integers(1, 255), label="bits")
    try:
        changed = decode(bytes(encoded[: HEADER.size]), bytes(encoded[HEADER.size :]))
    except ProtocolError:
        return
    assert len(changed.fields) == len(message.fields)


def test_every_part_is_where_the_document_says():
    message = Message(Op.PWRITE, 7, 2, (-1, b"abc"), result=-2, error=22, status=3)
    assert encode(message) == (
        bytes.fromhex("40000000060002000700000002000000")
        + bytes.fromhex("feffffffffffffff1600000003000000")
        + bytes.fromhex("0100000008000000ffffffffffffffff")
        + bytes.fromhex("02000000030000006162630000000000")
    )


@pytest.mark.parametrize("length", [0, HEADER.size - 1, MAX_MESSAGE + 1, (1 << 32) - 1])
def test_lengths_that_no_message_has(length):
    header = length.to_bytes(4, "little") + bytes(HEADER.size - 4)
    with pytest.raises(ProtocolError, match=f"length {length}"):
        body_length(header)


def test_a_message_that_is_too_long_is_not_sent():
    with pytest.raises(ProtocolError, match="at most 1048576"):
        encode(Message(Op.WRITE, 1, 1, (3, bytes(MAX_MESSAGE))))


def test_an_address_comes_back_as_the_same_bits():
    data = encode(Message(Op.IOCTL, 1, 1, (3, (1 << 64) - 16)))
    assert decode(data[: HEADER.size], data[HEADER.size :]).fields == (3, -16)


def test_operation_numbers_are_unique_and_stay():
    assert len(set(Op)) == len(Op.__members__) == 47
    assert (Op.HELLO, Op.OPEN, Op.FORK, Op.EPOLL) == (0, 1, 35, 46)
