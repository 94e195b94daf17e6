"""How near a picture's latent comes to it, and whether an edit gives the true picture: for people never trained on.

    python bench/editing.py runs/00001-dcgan-avatars runs/00002-vae-avatars [--people 50] [--space w]

For each model: the round trip of so many held-out `avatars`; then glasses, and a smile, for those who have none. The same
person can be drawn with only that changed, so the truth is known: PSNR to it, of the edited picture and of the round trip
left as it was, and the share that the attribute network reads as asked, at several strengths.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from torch import Tensor

from zeuxis import api
from zeuxis.capabilities import latent
from zeuxis.data.catalog import avatars
from zeuxis.explore import editing
from zeuxis.explore.editing import STRENGTHS, Editor
from zeuxis.io import images
from zeuxis.metrics import paired

FIRST = 1_000_000  # of the people of avatars/test
CHANGES = {"+ glasses": ("glasses", True), "+ smiling": ("smiling", True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--people", type=int, default=50)
    parser.add_argument("--space", choices=("z", "w"), default="z")
    arguments = parser.parse_args()
    people = range(FIRST, FIRST + arguments.people)
    for place in arguments.models:
        model = latent(api.load(place))
        found = editing.invert_images(model, drawn(people), space=arguments.space)
        print(f"{place} ({model.family()}, {arguments.space}): {found.describe()}", flush=True)
        editor = editing.editor(model, data="zeuxis:avatars", space=arguments.space)
        for change, (name, present) in CHANGES.items():
            without = [i for i, index in enumerate(people) if avatars.person(index).attributes[name] != present]
            truth = drawn([people[i] for i in without], {name: present})
            print(change, *curve(editor, change, found.latents[without], truth, name), sep="\n  ", flush=True)


def drawn(people: range | list[int], change: dict[str, bool] | None = None) -> Tensor:
    """The people (n c h w), all with the same change."""
    return images.from_uint8(np.stack([avatars.draw_avatar(index, change=change) for index in people]))


def curve(editor: Editor, change: str, latents: Tensor, truth: Tensor, name: str) -> list[str]:
    """A line for each strength."""
    column = [names[0] for names in editor.words.names].index(name)
    lines = []
    for strength, made in zip(STRENGTHS, editor.edit(latents, change).tensor.unbind(1)):
        read = (editor.reader.read(made)[:, column] > 0.5).float().mean()
        psnr = torch.quantile(paired.psnr(made, truth), 0.5)
        lines.append(f"strength {strength:g}: {100 * float(read):.0f} % as asked, {float(psnr):.1f} dB from the truth")
    return lines


if __name__ == "__main__":
    main()
