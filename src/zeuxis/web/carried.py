"""What a page without a server carries: the model's facts and networks, its latents and directions."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zeuxis.capabilities import latent
from zeuxis.errors import UsageError
from zeuxis.explore.directions import Direction
from zeuxis.explore.editing import editor, unsupervised_directions
from zeuxis.explore.spaces import SpaceName
from zeuxis.mechanisms import Denoising
from zeuxis.model import Latent, StyleBased
from zeuxis.runtime.callbacks import MessageCallback, ProgressCallback
from zeuxis.web import networks, ort_web
from zeuxis.web.served import Served
from zeuxis.web.single_file import Held

TABLED = 31 * 31  # seeds whose latents the page carries where it cannot draw them: 15 rings of the spiral
_COMPONENTS = 5
# The page runs without a server: of what the model can do, it shows what needs the decoder alone.
_OFFERED = ("latent", "styles", "diffusion")


def carried(
    served: Served,
    *,
    wanted: Sequence[str] = (),
    runtime: str | Path | None = None,
    report: MessageCallback | None = None,
    progress: ProgressCallback | None = None,
) -> Held:
    """All that the page carries; `wanted` names attributes of the run's data, or is "components".

    `UsageError` where the family has no latent space or cannot be exported.
    """
    model = latent(served.model)
    engine = ort_web.runtime(runtime)
    extra: dict[str, bytes] = {}
    names: dict[str, list[str]] = {}
    for kind, found in _directions(served, wanted, report, progress).items():
        names[kind] = [each.name for each in found]
        extra[f"directions-{kind}"] = _floats(torch.stack([each.step for each in found]))
    graphs = networks.networks_of(model)
    info = {**served.info, "capabilities": [word for word in served.info["capabilities"] if word in _OFFERED]}
    facts: dict[str, Any] = {
        "models": [{**info, "translate": None, "scale": None, "labels": 0}],
        "graphs": list(graphs.graphs),
        "noise": _noise(model),
        "z": list(model.prior([0]).shape[1:]),
        "directions": names,
        "table": None,
    }
    if info["latent"]["prior"] == "server" and not isinstance(model, StyleBased):
        facts["table"], extra["table"] = _table(model)
    return Held(facts, graphs, engine, extra)


def _directions(
    served: Served, wanted: Sequence[str], report: MessageCallback | None, progress: ProgressCallback | None
) -> Mapping[str, list[Direction]]:
    """The directions asked for, by kind, in the space of the page."""
    if not wanted:
        return {}
    space: SpaceName = "w" if isinstance(served.model, StyleBased) else "z"
    found: dict[str, list[Direction]] = {}
    if "components" in wanted:
        found["components"] = unsupervised_directions(served.model, count=_COMPONENTS, space=space)
    attributes = [name for name in wanted if name != "components"]
    if attributes:
        if served.data is None:
            raise UsageError(
                "--directions names attributes, and this model has no run whose data have them; use components"
            )
        edits = editor(served.model, data=served.data, space=space, report=report, progress=progress)
        found["attributes"] = [edits.steps(name)[0][1] for name in attributes]
    return found


def _noise(model: Latent) -> dict[str, Any] | None:
    """The noise levels of a denoiser, for pictures and for rough ones."""
    if not isinstance(model, Denoising):
        return None
    full, rough = (model.noise_levels(steps) for steps in (networks.DENOISING_STEPS, networks.ROUGH_STEPS))
    return {"levels": full, "rough": rough}


def _table(model: Latent) -> tuple[dict[str, Any], bytes]:
    """Latents of the first seeds, for a prior that no formula gives; hidden units in {0, 1} as bits."""
    z = copy.deepcopy(model).cpu().prior(range(TABLED))
    about = {"shape": list(z.shape[1:]), "seeds": TABLED}
    if bool(((z == 0) | (z == 1)).all()):
        return {**about, "values": "bits"}, np.packbits(z.flatten().numpy().astype(bool)).tobytes()
    return {**about, "values": "float16"}, z.half().numpy().astype("<f2").tobytes()


def _floats(values: Tensor) -> bytes:
    return values.detach().float().cpu().contiguous().numpy().astype("<f4").tobytes()
