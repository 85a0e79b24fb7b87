"""The network with random weights, as a baseline of the architecture alone."""

import numpy as np

from model.config import EncoderConfig, tiny
from model.encoder import EncoderInfo, Encoding, Frames, Ints


class UntrainedEncoder:
    """An encoder with random weights."""

    def __init__(self, config: EncoderConfig | None = None, seed: int = 0) -> None:
        """Make the network.

        Args:
            config: geometry; None for the tiny one.
            seed: of the weights.
        """
        from model.network.checkpoint import untrained

        self._config = config or tiny()
        self._network = untrained(self._config, "untrained", seed).network().eval()
        self.info = EncoderInfo(
            encoder_id="untrained",
            config=self._config,
            fps=25.0,
            stride_frames=2,
            provenance=f"random weights, seed {seed}",
            licence="Apache-2.0",
            trained=False,
            precision="fp32",
        )

    def encode(self, windows: Frames, visible: Ints | None = None) -> Encoding:
        """See `Encoder.encode`."""
        import torch

        from model.network.pixels import normalise

        with torch.inference_mode():
            units = None if visible is None else torch.from_numpy(visible)
            output = self._network(normalise(torch.from_numpy(windows)), units)
            activity = output.activity_logits.sigmoid().numpy()
        return Encoding(output.features.numpy().astype(np.float32), activity.astype(np.float32))
