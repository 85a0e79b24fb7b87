"""The smallest encoder that still has every part, so that tests which export one stay quick."""

from model.config import EncoderConfig


def micro() -> EncoderConfig:
    return EncoderConfig(image_size=64, embed_dim=8, stages=(1, 1, 1, 1), activity_hidden=4)
