"""The typeface of the page, that of the figures: Aileron (CC0), which Pillow carries."""

from __future__ import annotations

import io

from PIL import ImageFont


def aileron() -> bytes:
    """The font file; empty where this Pillow was built without fonts, and a browser then takes its own."""
    font = ImageFont.load_default(20)
    content = font.path if isinstance(font, ImageFont.FreeTypeFont) else None
    return content.getvalue() if isinstance(content, io.BytesIO) else b""
