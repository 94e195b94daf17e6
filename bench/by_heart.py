"""What a run's discriminator has learned by heart: its mean scores of training images, held-out images and samples.

    python bench/by_heart.py runs/quality/dcgan-satellite-500-64-seed0-c70206c1/00001-dcgan

The newest checkpoint of a `dcgan` on a named set with a test split, or with --hold-out. Images are given without
augmentation. Rolled images are the training images moved by a sixteenth of their side, mirrored ones are flipped left and
right. r_v is the heuristic of Karras 2020 (https://arxiv.org/abs/2006.06676, equation 1): 0 where held-out images score as
training images do, 1 where they score as samples do. It is given by rolled and by mirrored images in their place, too.
E[sign(D(real))] stands beside it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from zeuxis import loading
from zeuxis.errors import UsageError
from zeuxis.families.dcgan import DCGAN
from zeuxis.io.images import from_uint8
from zeuxis.judging.reference import choose_reference
from zeuxis.storage import RunFolder
from zeuxis.training.config import read_recipe

AT_ONCE = 50  # images


def overfitting(training: Tensor, held_out: Tensor, samples: Tensor) -> float:
    """r_v: how far the mean score of held-out images is on its way from training images to samples."""
    return float((training.mean() - held_out.mean()) / (training.mean() - samples.mean()))


@torch.no_grad()
def scores_of(run: RunFolder, count: int) -> dict[str, Tensor]:
    """The scores (n) of training images, of the same rolled and mirrored, of held-out images and of samples, at most `count`
    each."""
    recipe = read_recipe(run.config)
    checkpoint = run.load_checkpoint()
    if recipe.family != "dcgan" or checkpoint is None:
        raise UsageError(f"{run.path} is a run of {recipe.family}; expected one of dcgan that has a checkpoint")
    model = DCGAN(**recipe.options).eval()
    model.load_state_dict(checkpoint.tensors["model"])
    chosen = choose_reference(recipe.data, count=count, size=model.size, channels=model.channels)
    if chosen.held_out is None:
        raise UsageError(f"{recipe.data} holds nothing out; train with --hold-out 20%")
    training = from_uint8(chosen.training.rows(chosen.train_baseline))
    held_out = from_uint8(chosen.held_out.rows(chosen.reference))
    average = loading.load_model(run.path / "model")
    assert isinstance(average, DCGAN)
    step = model.size // 16
    images = {
        "training images": training,
        "training images, rolled": training.roll((step, step), (2, 3)),
        "training images, mirrored": training.flip(3),
        "held-out images": held_out,
        "samples": average.sample(len(held_out)),
    }
    return {name: _scores(model, each) for name, each in images.items()}


def _scores(model: DCGAN, images: Tensor) -> Tensor:
    return torch.cat([model.discriminator(part) for part in torch.split(images, AT_ONCE)]).flatten()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run")
    parser.add_argument("--images", type=int, default=500, help="of each kind")
    arguments = parser.parse_args()
    found = scores_of(RunFolder.open(arguments.run), arguments.images)
    for name, scores in found.items():
        print(f"{name:26} {scores.mean():6.2f}")
    real, samples = found["training images"], found["samples"]
    for name in list(found)[1:-1]:
        print(f"r_v by {name}: {overfitting(real, found[name], samples):.2f}")
    print(f"E[sign(D(real))] {real.sign().mean():.2f}")


if __name__ == "__main__":
    main()
