"""Messages between a decoder and its process, over a socket: a JSON head and bytes."""

import json
import socket
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from model.encoder import Frames

LENGTHS = struct.Struct("!II")
"""Number of bytes of the head and of the payload, which follow."""
MAX_HEAD_BYTES = 64_000

Head = Mapping[str, Any]


def send(sock: socket.socket, head: Head, payload: Frames | bytes = b"") -> None:
    """Send one message."""
    text = json.dumps(head).encode()
    body = np.ascontiguousarray(payload).data.cast("B") if isinstance(payload, np.ndarray) else payload
    sock.sendall(LENGTHS.pack(len(text), len(body)) + text)
    if len(body):
        sock.sendall(body)


def send_with_file(sock: socket.socket, head: Head, file: int) -> None:
    """Send a message without payload, and pass an open file with it."""
    text = json.dumps(head).encode()
    socket.send_fds(sock, [LENGTHS.pack(len(text), 0)], [file])
    sock.sendall(text)


def receive_with_file(sock: socket.socket) -> tuple[Head, int] | None:
    """The next message and its file; None once the other side has closed the socket."""
    lengths, files, _, _ = socket.recv_fds(sock, LENGTHS.size, 1)
    if not lengths:
        return None
    head_bytes, _ = LENGTHS.unpack(lengths)
    return json.loads(receive_exactly(sock, head_bytes)), files[0]


def receive_exactly(sock: socket.socket, num_bytes: int) -> bytearray:
    """The next bytes of the stream.

    Raises:
        EOFError: the other side has closed the socket.
        TimeoutError: the time limit of the socket is over.
    """
    received = bytearray(num_bytes)
    left = memoryview(received)
    while left:
        num = sock.recv_into(left)
        if num == 0:
            raise EOFError(f"{len(left)} bytes are missing")
        left = left[num:]
    return received
