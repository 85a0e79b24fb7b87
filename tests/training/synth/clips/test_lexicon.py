import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from training.errors import SignError
from training.synth.clips.lexicon import (
    HANDSHAPES,
    LOCATIONS,
    MOVEMENTS,
    Movement,
    Orientation,
    Sign,
    from_json,
    make_signs,
    to_json,
)
from training.synth.language.phonology import direction
from training.synth.motion.feasibility import check_sign

NOD = Sign("FLAT-HAND", LOCATIONS["SPACE"].natural, "SPACE", Movement("NOD"))


@pytest.fixture(scope="module")
def signs() -> tuple[Sign, ...]:
    return make_signs(1200, 7)


def test_the_inventories_are_as_rich_as_promised():
    assert len(HANDSHAPES) >= 30
    assert len(LOCATIONS) >= 16
    assert len(MOVEMENTS) >= 12
    assert {place.region for place in LOCATIONS.values()} == {"head", "trunk", "arm", "hand", "space"}


def test_a_gloss_names_the_form():
    chin = LOCATIONS["CHIN"].natural
    assert Sign("FLAT-HAND", chin, "CHIN", Movement("ARC", "OUT")).gloss == "FLAT-HAND CHIN ARC"
    turned = replace(NOD, orientation=Orientation("ACROSS", "DOWN"), movement=Movement("STRAIGHT", "UP", True))
    assert turned.gloss == "FLAT-HAND SPACE STRAIGHT UP TWICE FINGERS-ACROSS PALM-DOWN"


def test_a_thousand_signs_and_more_are_all_different_possible_and_differently_named(signs):
    assert len(set(signs)) == 1200
    assert len({sign.gloss for sign in signs}) == 1200
    for sign in signs:
        check_sign(sign)


def test_signs_are_balanced_over_what_they_are_made_of(signs):
    handshapes = Counter(sign.handshape for sign in signs)
    kinds = Counter(sign.movement.kind for sign in signs)
    assert set(handshapes) == set(HANDSHAPES)
    assert set(kinds) == set(MOVEMENTS)
    assert {sign.location for sign in signs} == set(LOCATIONS)
    assert max(handshapes.values()) <= 1.2 * min(handshapes.values())
    assert max(kinds.values()) <= 1.2 * min(kinds.values())
    assert {"ONE-HANDED", "SYMMETRIC", "ALTERNATING", "ON-BASE"} == {sign.arrangement for sign in signs}


def test_the_same_seed_gives_the_same_signs_and_another_seed_others(signs):
    assert make_signs(50, 7) == signs[:50]
    assert set(make_signs(50, 8)) != set(signs[:50])


def test_a_lexicon_survives_json(signs):
    assert from_json(to_json(signs[:200])) == signs[:200]
    assert json.loads(to_json(signs[:3]))[0]["gloss"] == signs[0].gloss


@pytest.mark.parametrize(
    ("change", "parameter"),
    [
        ({"handshape": "PAW"}, "handshape"),
        ({"location": "KNEE"}, "location"),
        ({"movement": Movement("FLY")}, "movement"),
        ({"movement": Movement("STRAIGHT", "SIDEWAYS")}, "movement"),
        ({"movement": Movement("HELD", "", True)}, "movement"),
        ({"movement": Movement("CONTACT")}, "movement"),
        ({"handshape": "FIST", "movement": Movement("WIGGLE")}, "movement"),
        ({"handshape": "THREE", "movement": Movement("CLOSING")}, "movement"),
        (
            {
                "location": "UPPER-ARM",
                "orientation": LOCATIONS["UPPER-ARM"].natural,
                "movement": Movement("ZIGZAG", "ASIDE"),
            },
            "movement",
        ),
        ({"location": "EAR", "orientation": Orientation("UP", "ACROSS")}, "location"),
        ({"orientation": Orientation("UP", "DOWN")}, "orientation"),
        ({"orientation": Orientation("UP", "UPWARDS")}, "orientation"),
        ({"orientation": Orientation("DOWN", "OUT")}, "orientation"),
        ({"arrangement": "ON-BASE"}, "arrangement"),
        ({"arrangement": "BY-FOOT"}, "arrangement"),
        ({"arrangement": "SYMMETRIC", "location": "SPACE-ACROSS"}, "arrangement"),
        ({"arrangement": "ALTERNATING", "movement": Movement("HELD")}, "arrangement"),
        ({"location": "HAND-PALM"}, "arrangement"),
        ({"base_handshape": "FIST"}, "base_handshape"),
        ({"arrangement": "ON-BASE", "location": "HAND-PALM", "base_handshape": "HORNS"}, "base_handshape"),
    ],
)
def test_an_impossible_sign_is_refused_with_the_parameter_named(change, parameter):
    check_sign(NOD)
    with pytest.raises(SignError, match=f"^{parameter}: "):
        check_sign(replace(NOD, **change))


def test_a_damaged_lexicon_is_refused_with_the_sign_named():
    rows = json.loads(to_json([NOD, NOD]))
    rows[1]["location"] = "KNEE"
    with pytest.raises(SignError, match=r"sign 1 .*location: 'KNEE' is unknown"):
        from_json(json.dumps(rows))
    with pytest.raises(SignError, match="not a lexicon"):
        from_json("{")
    with pytest.raises(SignError, match="not a lexicon"):
        from_json('[{"handshape": "FIST"}]')


def test_every_usual_orientation_has_its_palm_at_a_right_angle_and_can_be_held():
    for name, place in LOCATIONS.items():
        for held in (place.natural, place.base):
            if held is not None:
                assert np.dot(direction(held.fingers), direction(held.palm)) == 0, name
        base = "FLAT-HAND" if place.base else ""
        check_sign(Sign("FLAT-HAND", place.natural, name, Movement("HELD"), "ON-BASE" if base else "ONE-HANDED", base))
