"""A story as one HTML file: a slider over the steps, the samples, the curves up to there; no server and no network."""

from __future__ import annotations

import base64
import html
import io
import json
from importlib import resources
from string import Template

from PIL import Image

from zeuxis.charts.axes import value_text
from zeuxis.escaping import printable
from zeuxis.stories.scenes import Story
from zeuxis.stories.stage import Stage, value_at

_PAGE = "story.html"


def story_page(story: Story) -> str:
    """The page; text from the run's files is escaped in it."""
    stage, cut = Stage(story), story.cut
    template = Template(resources.files("zeuxis.stories").joinpath(_PAGE).read_text(encoding="utf-8"))
    scenes = [
        {
            "step": scene.step,
            "picture": _embedded(scene.picture),
            "facts": printable(scene.caption.facts),
            "health": printable(scene.caption.health),
            "warns": scene.caption.warns,
            **_curves_at(stage, scene.step),
        }
        for scene in story.scenes
    ]
    return template.substitute(
        name=html.escape(story.history.name),
        about=html.escape(story.history.about),
        width=cut.width,
        height=cut.height,
        columns=cut.columns,
        names="".join(f"<span>{html.escape(name)}</span>" for name in cut.names),
        charts=_charts(stage) if stage.panels else "",
        notes="".join(f"<li>{html.escape(printable(line))}</li>" for line in story.missing),
        last=len(scenes) - 1,
        # A name in the files may hold what would end the script.
        scenes=json.dumps(scenes, allow_nan=False).replace("<", "\\u003c"),
    )


def _curves_at(stage: Stage, step: int) -> dict[str, object]:
    """Where the mark stands at a step, as a share of the curves' width, and the value of each curve there."""
    if not stage.panels:
        return {"mark": 0, "values": []}
    picture, placed = stage.layers[1:]
    values = [value_at(panel, step) for panel in placed]
    mark = placed[0].field.point(step, 0.0)[0] / picture.width
    return {"mark": round(mark, 5), "values": ["" if value is None else value_text(value) for value in values]}


def _charts(stage: Stage) -> str:
    """The curves twice, faint and in full, and the places of their values."""
    faint, full, placed = stage.layers
    names = html.escape(", ".join(panel.title for panel in stage.panels))
    tops = [100 * panel.title_end[1] / full.height for panel in placed]
    values = "".join(f'<output style="top:{top:.3f}%"></output>' for top in tops)
    return (
        f'<div class="charts" style="max-width:{full.width}px"><img alt="curves: {names}" src="{_png(faint)}">'
        f'<img class="full" alt="" src="{_png(full)}"><i></i>{values}</div>'
    )


def _png(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.quantize(128).save(buffer, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _embedded(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=85, method=4)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
