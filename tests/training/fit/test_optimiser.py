import pytest
import torch

from tests.model.micro import micro
from training.fit.optimiser import OptimiserConfig, ScheduledOptimiser, layer_of, make_optimiser
from training.fit.schedule import Progress
from training.pretrain.network import PretrainNetwork


def test_every_parameter_learns_by_its_depth_and_only_matrices_decay() -> None:
    network = PretrainNetwork(micro())  # 4 blocks: layers 0 to 5
    optimiser = make_optimiser(network, 4, OptimiserConfig(layer_decay=0.5, weight_decay=0.3))
    ScheduledOptimiser(optimiser, lambda _: 8.0).set_learning_rate(Progress(0, 1))
    seen = {id(p): (group["lr"], group["weight_decay"]) for group in optimiser.param_groups for p in group["params"]}
    named = {name: seen.pop(id(parameter)) for name, parameter in network.named_parameters()}
    assert not seen
    assert named["encoder.backbone.pos_embed_spatial"] == (8 * 0.5**5, 0)
    assert named["encoder.backbone.patch_embed.proj.weight"] == (8 * 0.5**5, 0.3)
    assert named["encoder.backbone.blocks.0.attn.qkv.weight"] == (8 * 0.5**4, 0.3)
    assert named["encoder.backbone.blocks.3.norm2.weight"] == (8 * 0.5, 0)
    assert named["encoder.fc.1.weight"] == (8, 0.3)
    assert named["cls_head.latent_proj.2.weight"] == (8, 0.3)
    assert named["cls_head.dict_component_projections.body_pose.layers.0.bias"] == (8, 0)


def test_heads_stand_above_all_blocks() -> None:
    assert [layer_of(name, 24) for name in ("encoder.backbone.blocks.23.norm1.bias", "encoder.active_head.0.bias")] == [
        24,
        25,
    ]


def test_one_adamw_step_is_that_of_the_textbook() -> None:
    parameter = torch.nn.Parameter(torch.tensor([[1.0]]))
    optimiser = torch.optim.AdamW([{"params": [parameter], "rate_scale": 0.1}], betas=(0.9, 0.95), weight_decay=0.5)
    ScheduledOptimiser(optimiser, lambda _: 1.0).set_learning_rate(Progress(0, 1))
    parameter.grad = torch.tensor([[3.0]])
    optimiser.step()
    assert float(parameter.detach()) == pytest.approx(1.0 - 0.1 * 0.5 * 1.0 - 0.1 * 1.0, abs=1e-6)


def test_what_is_frozen_is_left_out_and_positions_decay_where_that_is_wanted() -> None:
    network = PretrainNetwork(micro())
    network.cls_head.requires_grad_(False)
    optimiser = make_optimiser(network, 4, OptimiserConfig(weight_decay=0.3), not_decayed=())
    decays = {id(p): group["weight_decay"] for group in optimiser.param_groups for p in group["params"]}
    assert decays.keys() == {id(p) for p in network.encoder.parameters()}
    assert decays[id(network.encoder.backbone.pos_embed_spatial)] == 0.3
