"""Reading photographs and drawing what was found in them."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from tripy.demo.detector import Face

BOX_COLOUR = (64, 255, 64)
POINT_COLOUR = (255, 64, 64)


class PhotoError(Exception):
    """A photograph that cannot be read."""


def astronaut() -> Image.Image:
    """The portrait that comes with scikit-image."""
    return Image.fromarray(import_module("skimage.data").astronaut())


def read_photo(path: Path) -> Image.Image:
    """A photograph of any colour mode as RGB, turned the way the camera was held."""
    try:
        with Image.open(path) as image:
            return to_rgb(ImageOps.exif_transpose(image))
    except FileNotFoundError as error:
        raise PhotoError(f"{path}: no such file") from error
    # Damaged files make the decoders raise SyntaxError, ValueError and others as well.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise PhotoError(f"{path}: cannot be read as an image ({error})") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """The image as RGB; what is transparent becomes white, 16 bits become 8."""
    if image.mode.startswith(("I", "F")):
        levels = np.asarray(image, np.float64)
        peak = 65535.0 if image.mode.startswith("I") else 255.0
        image = Image.fromarray((levels * (255.0 / peak)).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), layer)
    return image.convert("RGB")


def annotate(image: Image.Image, faces: Sequence[Face]) -> Image.Image:
    """A copy of the image with the box, the score and the landmarks of every face."""
    result = image.copy()
    draw = ImageDraw.Draw(result)
    line = max(1, round(max(image.size) / 300))
    font = ImageFont.load_default(size=max(10, 6 * line))
    for face in faces:
        left, top, right, bottom = face.box.tolist()
        draw.rectangle((left, top, right, bottom), outline=BOX_COLOUR, width=line)
        radius = max(1.0, min(1.5 * line, (right - left) / 25))
        for x, y in face.landmarks.tolist():
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), POINT_COLOUR)
        # The score stands on the box, or inside it at the upper edge of the photograph.
        label = f" {face.score:.4f} "
        place = (left, max(top, 1.5 * font.size))
        draw.rectangle(draw.textbbox(place, label, font, "ld"), BOX_COLOUR)
        draw.text(place, label, "black", font, "ld")
    return result
