"""Stand-ins for what is slow: they keep the contract, and what they give depends on what they get."""

import threading

import numpy as np

from model import config
from model.encoder import EncoderInfo, Encoding, Frames, Ints

BLOCKS = 8


class FakeEncoder:
    """An `Encoder` of the tiny geometry: an embedding is the colours of 8 x 8 blocks, averaged over the window."""

    def __init__(self, encoder_id: str = "fa4e00000000", *, trained: bool = True) -> None:
        self.info = EncoderInfo(
            encoder_id=encoder_id,
            config=config.tiny(),
            fps=25.0,
            stride_frames=8,
            provenance="block colours, for tests",
            licence="Apache-2.0",
            trained=trained,
            precision="fp32",
        )
        self.gate = threading.Event()
        """Closed, every `encode` waits until it is opened."""
        self.gate.set()
        self.error: Exception | None = None
        """What `encode` raises, where set."""

    def encode(self, windows: Frames, visible: Ints | None = None) -> Encoding:
        assert self.gate.wait(timeout=30), "a test left the gate closed"
        if self.error is not None:
            raise self.error
        n, t, h, w, c = windows.shape
        blocks = windows.reshape(n, t, BLOCKS, h // BLOCKS, BLOCKS, w // BLOCKS, c).mean(axis=(1, 3, 5))
        embedding = (blocks.reshape(n, -1) - 127.5).astype(np.float32)
        return Encoding(embedding, np.ones((n, 2), np.float32))

    def warm(self) -> None:
        shape = (1, *self.info.config.window_size, 3)
        FakeEncoder.encode(self, np.zeros(shape, np.uint8))  # not what a test has put in its place
