"""Pictures of a class: the page's requests name it, and what is drawn is what the library draws of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from page_client import opened, serving
from zeuxis.families import find
from zeuxis.io.images import to_uint8
from zeuxis.mechanisms import Denoising
from zeuxis.samplers import Streams, ddpm_steps
from zeuxis.web.served import Served, open_served

LABEL = 2


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    """An untrained conditional denoiser, whose weights all count."""
    torch.manual_seed(0)
    model = find("diffusion")(size=8, channels=1, base_channels=4, num_inference_steps=4, num_classes=3)
    for weights in model.parameters():  # at first a denoiser's last layer is zero, and no class shows
        weights.data.normal_(0, 0.3)
    model.class_names = ("nought", "one", "two")
    folder = tmp_path_factory.mktemp("models") / "digits"
    model.save(folder)
    return open_served(folder, device="cpu")


def test_the_page_is_told_of_the_classes(served: Served) -> None:
    assert served.info["classes"] == ["nought", "one", "two"] and served.info["labels"] == 3


@torch.no_grad()
def test_pictures_of_a_class_are_those_of_the_library(served: Served) -> None:
    model = served.model
    assert isinstance(model, Denoising)
    z, label = model.prior([5]), torch.tensor([LABEL])
    wanted = to_uint8(model.decode(z, label))
    assert not np.array_equal(wanted, to_uint8(model.decode(z)))
    payload = z.numpy().tobytes()
    with serving(served) as link, opened(link) as page:
        assert np.array_equal(page.ask("decode", payload, label=LABEL).pictures, wanted)
        assert np.array_equal(page.ask("decode", payload, label=-1).pictures, to_uint8(model.decode(z)))
        rough = list(model.denoising(z, steps=3, sampler="dpm++2m", label=label))[-1].x.clamp(-1, 1)
        assert np.array_equal(page.ask("decode.preview", payload, steps=3, label=LABEL).pictures, to_uint8(rough))
        assert np.array_equal(page.ask("denoise", seed=5, label=LABEL).pictures[1:], wanted)
        fork = page.ask("denoise", seed=5, label=LABEL, fork_seed=8, **{"from": 2}).pictures
        middle = list(model.denoising(z, label=label))[2].x
        *_, last = ddpm_steps(model.denoiser(label), middle, model.noise_levels()[2:], noise=Streams([8]))
        assert np.array_equal(fork[:1], to_uint8(last.x.clamp(-1, 1)))


@pytest.mark.parametrize("label", [3, -2, 1.5, "two", None, True])
def test_other_labels_close_the_socket(served: Served, label: object) -> None:
    with serving(served) as link, opened(link) as page:
        page.send("decode", bytes(4 * 64), label=label)
        with pytest.raises(Exception, match="1007"):
            page.receive()


def test_a_model_without_classes_takes_no_label(tmp_path: Path) -> None:
    find("vae")(size=8, channels=1, latent_dim=8).save(tmp_path / "model")
    served = open_served(tmp_path / "model", device="cpu")
    assert served.info["labels"] == 0 and served.info["classes"] is None
    with serving(served) as link, opened(link) as page:
        page.send("decode", bytes(4 * 8), label=0)
        with pytest.raises(Exception, match="1007"):
            page.receive()
