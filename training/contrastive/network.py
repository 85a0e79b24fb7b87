"""The network of a contrastive run: the encoder with its heads, and a reader of single hands on its hand branch."""

import torch
from torch import nn

from model.network.hands import HandBranch
from training.contrastive.augment import change_light
from training.contrastive.config import ContrastiveConfig
from training.contrastive.hand_reader import HandReader
from training.pretrain.network import PretrainNetwork


class ContrastiveNetwork(nn.Module):
    """What is trained, with the functions that a step calls, compiled where the config says so."""

    def __init__(self, network: PretrainNetwork, config: ContrastiveConfig) -> None:
        """Put a hand reader on the network's hand branch; freeze the backbone where the config says so."""
        super().__init__()
        hands = network.encoder.hands
        assert isinstance(hands, HandBranch)
        self.network = network
        self.reader = HandReader(hands.backbone, network.encoder.config.hand_config)
        self.freeze_backbone = config.freeze_backbone
        network.encoder.backbone.requires_grad_(not config.freeze_backbone)
        self.predict, self.read_hands, self.change_light = network.forward, self.reader.forward, change_light
        if config.compile:
            self.predict, self.read_hands = torch.compile(self.predict), torch.compile(self.read_hands)
            self.change_light = torch.compile(self.change_light)

    def train(self, mode: bool = True) -> "ContrastiveNetwork":
        """Training mode for all but a frozen backbone."""
        super().train(mode)
        if self.freeze_backbone:
            self.network.encoder.backbone.eval()
        return self
