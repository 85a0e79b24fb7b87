import ast
import inspect
import math
from pathlib import Path

import pytest

from model.config import small
from training.data.priors.table import PRIORS
from training.data.windows import augment
from training.errors import ConfigError
from training.fit import optimiser
from training.fit.overrides import as_plain_data, read_preset
from training.fit.resume import changed_settings
from training.pretrain import config as config_module
from training.pretrain.config import (
    PRESETS,
    PretrainConfig,
    debug,
    flatten,
    override,
    paper,
    valid_keys,
    with_names_of_today,
)


def test_the_paper_preset_is_the_papers_recipe() -> None:
    config = paper()
    assert (config.batch_size, config.steps, config.mask, config.encoder.drop_path) == (20, 500_000, 0.8, 0.1)
    assert config.num_visible == 78
    optimiser, adversary, losses = config.optimiser, config.adversary, config.losses
    assert (optimiser.betas, optimiser.weight_decay, optimiser.learning_rate) == ((0.9, 0.95), 0.5, 1e-4)
    assert (optimiser.warmup_steps, optimiser.layer_decay, optimiser.clip_norm) == (50_000, 0.85, 1.0)
    assert (adversary.betas, adversary.weight_decay, adversary.learning_rate) == ((0.5, 0.9), 1e-3, 1e-4)
    assert (adversary.hidden, adversary.style_scale, adversary.ema_momentum) == (768, 100, 0.1)
    assert (losses.activity, losses.variance, losses.covariance, losses.adversarial) == (0.2, 1.0, 0.004, 2.0)


def test_the_prior_table_is_the_papers() -> None:
    assert {(p.name, p.dim, p.weight, p.psi) for p in PRIORS} == {
        ("full_body_angles", 22 * 2, 10, 1),
        ("full_right_angles", 41 * 2, 10, 1),
        ("full_left_angles", 41 * 2, 10, 1),
        ("body_pose", 61 * 3, 10, 1),
        ("right_pose", 21 * 3, 10, 2),
        ("left_pose", 21 * 3, 10, 2),
        ("body_dist", 12 * 22 * 3, 20, 1),
        ("right_dist", 5 * 11 * 3, 20, 4),
        ("left_dist", 5 * 11 * 3, 20, 4),
    }


@pytest.mark.parametrize("module", [config_module, augment, optimiser])
def test_every_field_of_a_config_is_documented(module: object) -> None:
    tree = ast.parse(inspect.getsource(module))  # type: ignore[arg-type]
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name != "Augmenter"]
    bare = {"augment", "data", "losses", "adversary", "optimiser"}  # groups say it themselves
    for group in classes:
        for field, after in zip(group.body, group.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and field.target.id not in bare:
                documented = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                assert documented, f"{group.name}.{field.target.id} says nothing of itself"


@pytest.mark.parametrize("name", PRESETS)
def test_presets_know_their_name(name: str) -> None:
    assert read_preset(PRESETS, name).preset == name


def test_an_unknown_preset_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="'papr'; allowed are paper, small, debug"):
        read_preset(PRESETS, "papr")


def test_fields_are_set_by_name_and_the_rest_stays() -> None:
    config = override(
        debug(),
        ["minutes=25", "output=out/x", "losses.adversarial=0", "adversary.betas=0.1,0.2", "augmented=true",
         "data.sources=generated:3@2,synthetic", "encoder.embed_dim=32", "data.validation=generated:2"],
    )  # fmt: skip
    changed = {key: value for key, value in flatten(config) if value != dict(flatten(debug()))[key]}
    assert changed == {
        "minutes": 25.0,
        "output": Path("out/x"),
        "losses.adversarial": 0.0,
        "adversary.betas": (0.1, 0.2),
        "augmented": True,
        "data.sources": ("generated:3@2", "synthetic"),
        "encoder.embed_dim": 32,
        "data.validation": "generated:2",
    }


def test_a_whole_encoder_is_set_by_its_name() -> None:
    assert override(paper(), ["encoder=small"]).encoder == small()


def test_an_unknown_key_is_refused_with_all_valid_ones() -> None:
    with pytest.raises(ConfigError, match=r"unknown setting 'lr'; valid are ") as refused:
        override(debug(), ["lr=1"])
    assert all(key in str(refused.value) for key in valid_keys(PretrainConfig()))
    assert "optimiser.learning_rate" in valid_keys(PretrainConfig())


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("steps", "'steps' sets nothing; write KEY=VALUE"),
        ("steps=many", "steps=many: "),
        ("steps=0", "steps is 0; it must be at least 1"),
        ("mask=1", "mask is 1.0; it must be at least 0 and below 1"),
        ("batch_size=5", "batch_size is 5; it must be even and at least 4"),
        ("precision=fp8", "precision=fp8: "),
        ("adversary.betas=0.1", "adversary.betas=0.1: "),
        ("adversary.style_stage=5", "style_stage is 5; it must be a stage of the encoder, which has 4"),
        ("losses.priors=hands", "unknown priors hands; known are full_body_angles"),
        ("encoder.image_size=100", "encoder.image_size=100: 100 rows of a window do not divide"),
        ("encoder=huge", "unknown setting 'encoder'; valid are"),
    ],
)
def test_values_that_can_not_be_are_refused(assignment: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        override(debug(), [assignment])
    assert message in str(refused.value)


def test_only_what_a_result_depends_on_makes_another_run() -> None:
    old = as_plain_data(debug())
    same = override(debug(), ["output=elsewhere", "minutes=3", "data.workers=4"])
    other = override(debug(), ["optimiser.learning_rate=1", "steps=7"])
    assert changed_settings(old, same) == []
    assert changed_settings(old, other) == ["optimiser.learning_rate was 0.0004 and is 1.0", "steps was 400 and is 7"]


def test_settings_of_earlier_checkpoints_are_known_by_the_names_of_today() -> None:
    fields = as_plain_data(debug())
    before = {name: value for name, value in fields.items() if not name.startswith("teacher_forcing")}
    assert changed_settings(with_names_of_today(before | {"told": 0.5, "told_error": 0.02}), debug()) == []


def test_minutes_are_endless_unless_set() -> None:
    assert PretrainConfig().minutes == math.inf
