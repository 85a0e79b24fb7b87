import numpy as np

from training.synth.mannequin import mannequin
from training.synth.measure import measure_distinctness
from training.synth.style import SignerStyle, random_style


def test_signs_are_told_apart_across_signers_by_their_hands():
    signers = [
        (mannequin().rig, random_style(np.random.default_rng(1))),
        (mannequin(scale=0.93, girth=1.1).rig, random_style(np.random.default_rng(2))),
    ]
    done: list[None] = []
    found = measure_distinctness(signers, num_signs=40, seed=3, advance=lambda: done.append(None))
    assert found.num_signs == 40
    assert found.hands_rank1 >= 0.9
    assert found.hands_and_arms_rank1 >= 0.95
    assert len(found.confused) == round(40 * (1 - found.hands_rank1))
    assert len(done) == 80


def test_a_left_handed_signer_is_found_among_right_handed_ones():
    rig = mannequin().rig
    found = measure_distinctness([(rig, SignerStyle()), (rig, SignerStyle(leading="left"))], num_signs=20, seed=5)
    assert found.hands_rank1 == 1.0
