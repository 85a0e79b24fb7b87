"""Colours of textures: skin tones, cloth, hair, irises and eyebrows."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.encoder import Floats
from training.synth.people.body import TEXTURE_PX, Texture
from training.synth.people.identity import Colour

TexturePoint = tuple[float, float]
Print = tuple[TexturePoint, TexturePoint, TexturePoint]
"""Middle and half size of a print on a texture, and the middle of plain cloth; shares of the texture's sides."""

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def read_texture(content: bytes) -> Texture:
    """An image file as a texture of the renderer's size, uint8 [512, 512, 4]."""
    with Image.open(io.BytesIO(content)) as image:
        rgba = image.convert("RGBA")
    if rgba.size != (TEXTURE_PX, TEXTURE_PX):
        rgba = rgba.resize((TEXTURE_PX, TEXTURE_PX), Image.Resampling.LANCZOS)
    return np.asarray(rgba, np.uint8)


def tint(texture: Texture, factors: Colour) -> Texture:
    """Red, green and blue times a factor each; one above 1 raises dark places by that and bright ones less."""
    rgb, factor = texture[..., :3].astype(np.float32), np.array(factors, np.float32)
    return _with_rgb(texture, rgb * factor / (1.0 + np.maximum(factor - 1.0, 0.0) * rgb / 255.0))


def dye(texture: Texture, hue: float, gain: float, saturation: float) -> Texture:
    """Cloth in other colours.

    Args:
        texture: [H, W, 4] uint8.
        hue: turn of the hues, radians.
        gain: factor on the brightness.
        saturation: factor on the distance from grey.
    """
    rgb = texture[..., :3].astype(np.float32)
    return _with_rgb(texture, gain * (rgb @ _hue_turn(hue, saturation).T))


def cover_prints(texture: Texture, prints: tuple[Print, ...]) -> Texture:
    """Cloth without its prints: plain cloth is put in their place, with soft edges."""
    covered = texture.copy()
    for middle, half, plain in prints:
        size = np.maximum(np.round(np.array(half) * TEXTURE_PX).astype(int), 1)
        to, source = (np.round(np.array(place) * TEXTURE_PX).astype(int) - size for place in (middle, plain))
        x, y = np.meshgrid(*(np.linspace(-1, 1, 2 * length) for length in size))
        share = np.clip((1 - np.maximum(np.abs(x), np.abs(y))) * 6, 0, 1)[..., None]
        patch = texture[source[1] : source[1] + 2 * size[1], source[0] : source[0] + 2 * size[0]]
        region = covered[to[1] : to[1] + 2 * size[1], to[0] : to[0] + 2 * size[0]]
        region[:] = np.round(region + share * (patch.astype(np.float32) - region)).astype(np.uint8)
    return covered


def _hue_turn(angle: float, saturation: float) -> Floats:
    """The turn about the grey axis that keeps luma, with the distance from that axis scaled."""
    to_yiq = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]], np.float32)
    c, s = saturation * np.cos(angle), saturation * np.sin(angle)
    turn = np.array([[1, 0, 0], [0, c, -s], [0, s, c]], np.float32)
    return np.asarray(np.linalg.inv(to_yiq) @ turn @ to_yiq, np.float32)


def colour_hair(texture: Texture, colour: Colour) -> Texture:
    """Hair of a colour: the strands' light and dark kept, their own colour replaced."""
    luma = texture[..., :3].astype(np.float32) @ _LUMA
    strands = luma[texture[..., 3] > 100]
    bright = float(np.percentile(strands, 85)) if strands.size else 255.0
    relief = 0.35 + 0.65 * np.clip(luma / max(bright, 1.0), 0.0, 1.5)
    return _with_rgb(texture, 255.0 * relief[..., None] * np.array(colour, np.float32))


def colour_iris(texture: Texture, colour: Colour) -> Texture:
    """Eyes with irises of a colour: the dark, reddish pixels are the iris, its rings stay visible."""
    rgb = texture[..., :3].astype(np.float32)
    luma = rgb @ _LUMA
    iris = np.clip((120 - luma) / 30, 0, 1) * np.clip((rgb[..., 0] - rgb[..., 2] - 8) / 12, 0, 1)
    relief = np.clip(luma / 45, 0.3, 1.8)
    painted = 255.0 * relief[..., None] * np.array(colour, np.float32)
    return _with_rgb(texture, rgb + iris[..., None] * (painted - rgb))


def paint(texture: Texture, mask: Floats, colour: Colour) -> Texture:
    """A colour laid over the texture where the mask is above 0.

    Args:
        texture: [H, W, 4] uint8.
        mask: [H, W] 0 to 1.
        colour: what is painted.
    """
    rgb = texture[..., :3].astype(np.float32)
    return _with_rgb(texture, rgb + mask[..., None] * (255.0 * np.array(colour, np.float32) - rgb))


def _with_rgb(texture: Texture, rgb: NDArray[np.floating]) -> Texture:
    return np.concatenate([np.clip(rgb, 0, 255).astype(np.uint8), texture[..., 3:]], axis=-1)
