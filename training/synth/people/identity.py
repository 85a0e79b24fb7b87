"""Identities: every choice that makes one body differ from another, and random people."""

from dataclasses import dataclass

import numpy as np

Colour = tuple[float, float, float]

# Left out: the work suit, whose texture is of another cut than its mesh, and the sports suit, which is no street wear.
FEMALE_GARMENTS = ("female_casualsuit01", "female_casualsuit02", "female_elegantsuit01")
MALE_GARMENTS = (*(f"male_casualsuit0{number}" for number in range(1, 7)), "male_elegantsuit01")
UNISEX_GARMENTS = ("male_casualsuit01", "male_casualsuit02", "male_casualsuit03", "male_casualsuit06")
# The bobs hang over one eye, so they come up less often than the others.
LONG_HAIR = ("bob01", "bob02", "braid01", "braid01", "long01", "long01", "long01", "ponytail01", "ponytail01")
SHORT_HAIR = ("afro01", "short01", "short02", "short03", "short04")
HAIR_COLOURS: tuple[Colour, ...] = (
    (0.09, 0.07, 0.06),
    (0.16, 0.11, 0.08),
    (0.30, 0.19, 0.11),
    (0.46, 0.30, 0.16),
    (0.72, 0.56, 0.32),
    (0.52, 0.20, 0.08),
)
GREY_HAIR: tuple[Colour, ...] = ((0.62, 0.61, 0.60), (0.80, 0.79, 0.77), (0.38, 0.37, 0.37))
IRIS_COLOURS: tuple[Colour, ...] = (
    (0.30, 0.16, 0.07),
    (0.20, 0.10, 0.05),
    (0.28, 0.40, 0.52),
    (0.34, 0.42, 0.28),
    (0.42, 0.30, 0.14),
)

DARK_FROM = 0.45
"""African share from which a person has one of the dark skins."""
REDDER_SKINS = ("old_darkskinned_female_diffuse",)


@dataclass(frozen=True)
class Identity:
    """One person. Shape sliders run from -1 to 1 around the average, unless said otherwise."""

    female: float
    """0 male to 1 female."""
    age: float
    """0 young adult to 1 old."""
    ancestry: Colour
    """Shares of MakeHuman's african, asian and caucasian shapes, summing to 1."""
    muscle: float
    weight: float
    height: float
    upper_arm_length: float
    lower_arm_length: float
    upper_arm_girth: float
    lower_arm_girth: float
    hand_size: float
    finger_length: float
    finger_girth: float
    finger_spread: float
    head_scale: Colour
    """Width, height and depth of the head, factors."""
    skin: str
    """Skin texture, the file's stem."""
    skin_tone: Colour
    """Factors on the skin's red, green and blue."""
    iris: Colour
    garment: str
    garment_hue: float
    """Turn of the cloth's hues, radians."""
    garment_gain: float
    """Factor on the cloth's brightness."""
    garment_saturation: float
    hair: str | None
    hair_colour: Colour
    brows: float
    """How strong the eyebrows are, 0 to 1."""
    brow_colour: Colour


def random_identity(rng: np.random.Generator) -> Identity:
    """A person sampled at random: any sex, age, build, proportions, skin, clothes and hair."""
    ancestry = rng.dirichlet((0.35, 0.35, 0.35))
    age = float(rng.beta(1.0, 1.6))
    woman = bool(rng.random() < 0.5)
    blend = float(rng.beta(1.0, 6.0))
    hair_colour = _hair_colour(rng, age, float(ancestry[2]))
    return Identity(
        female=1 - blend if woman else blend,
        age=age,
        ancestry=(float(ancestry[0]), float(ancestry[1]), float(ancestry[2])),
        muscle=_slider(rng, 0.5),
        weight=_slider(rng, 0.45),
        height=_slider(rng, 0.35),
        upper_arm_length=_slider(rng, 0.5),
        lower_arm_length=_slider(rng, 0.5),
        upper_arm_girth=_slider(rng, 0.4),
        lower_arm_girth=_slider(rng, 0.4),
        hand_size=_slider(rng, 0.5),
        finger_length=_slider(rng, 0.5),
        finger_girth=_slider(rng, 0.4),
        finger_spread=_slider(rng, 0.3),
        head_scale=_colour(rng.normal(1.0, 0.025, 3).clip(0.93, 1.07)),
        skin=(skin := _skin(rng, woman, age, float(ancestry[0]))),
        skin_tone=_skin_tone(rng, float(ancestry[0]), redder=skin in REDDER_SKINS),
        iris=IRIS_COLOURS[int(rng.integers(2 if ancestry[2] < 0.5 else len(IRIS_COLOURS)))],
        garment=_garment(rng, woman),
        garment_hue=float(rng.uniform(-np.pi, np.pi)),
        garment_gain=float(rng.uniform(0.6, 1.25)),
        garment_saturation=float(rng.uniform(0.2, 1.1)),
        hair=_hair(rng, woman, age),
        hair_colour=hair_colour,
        brows=float(rng.uniform(0.45, 0.9)),
        brow_colour=_colour(np.array(hair_colour) * 0.75),
    )


def _slider(rng: np.random.Generator, spread: float) -> float:
    return float(np.clip(rng.normal(0.0, spread), -1.0, 1.0))


def _colour(values: np.ndarray) -> Colour:
    return (float(values[0]), float(values[1]), float(values[2]))


def _skin(rng: np.random.Generator, woman: bool, age: float, african: float) -> str:
    years = "young" if age < 0.35 else "middleage" if age < 0.7 else "old"
    dark = african > DARK_FROM
    sex = "female" if woman else "male"
    variants = [""] if dark else ["", "2", "3"] if years == "young" else ["", "2"]
    return f"{years}_{'dark' if dark else 'light'}skinned_{sex}_diffuse{variants[int(rng.integers(len(variants)))]}"


def _skin_tone(rng: np.random.Generator, african: float, *, redder: bool) -> Colour:
    if african > DARK_FROM:
        # The dark textures are all alike and redder than skin is: from there to a middle brown.
        lift = float(rng.uniform(0.0, 1.0))
        factors = np.array([1.0 + 0.6 * lift, 1.1 + 0.7 * lift, 1.15 + 0.75 * lift])
        factors *= (1.0, 1.22, 1.3) if redder else 1.0
    else:
        # Light skins go from pale to olive and brown by one factor that takes most from blue.
        depth = float(rng.beta(1.2, 2.2) * 0.45)
        factors = 1.0 - depth * np.array([0.55, 0.85, 1.05])
    return _colour(factors * rng.uniform(0.95, 1.04, 3))


def _garment(rng: np.random.Generator, woman: bool) -> str:
    garments = 2 * FEMALE_GARMENTS + UNISEX_GARMENTS if woman else MALE_GARMENTS
    return garments[int(rng.integers(len(garments)))]


def _hair(rng: np.random.Generator, woman: bool, age: float) -> str | None:
    if not woman and rng.random() < 0.06 + 0.2 * age:
        return None
    styles = LONG_HAIR + SHORT_HAIR[:2] if woman else SHORT_HAIR
    return styles[int(rng.integers(len(styles)))]


def _hair_colour(rng: np.random.Generator, age: float, caucasian: float) -> Colour:
    if rng.random() < age * 0.9 - 0.2:
        return GREY_HAIR[int(rng.integers(len(GREY_HAIR)))]
    colours = HAIR_COLOURS if caucasian > 0.5 else HAIR_COLOURS[:2]
    return _colour(np.array(colours[int(rng.integers(len(colours)))]) * rng.uniform(0.8, 1.2))
