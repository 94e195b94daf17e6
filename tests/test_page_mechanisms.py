"""Operations of the views Denoise, Latent space and Gibbs, each against the library, and against messages of other lengths."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from websockets.exceptions import ConnectionClosed

import toys
from page_client import floats, opened, serving
from zeuxis import api
from zeuxis.data import DataSpec
from zeuxis.errors import UsageError
from zeuxis.families import find
from zeuxis.io.images import from_uint8, to_uint8
from zeuxis.mechanisms import Denoising, GibbsSampling, HasPosterior
from zeuxis.samplers import Streams, ddpm_steps
from zeuxis.web import encodings
from zeuxis.web.operations import OPERATIONS, REQUEST_BYTES
from zeuxis.web.requests import BadRequest, Reply, Request
from zeuxis.web.served import CAPABILITIES, Served, open_served

SMALL: dict[str, dict[str, Any]] = {
    "diffusion": {"base_channels": 4, "num_inference_steps": 4},
    "vae": {"base_channels": 4, "latent_dim": 6},
    "rbm": {"latent_dim": 20, "chains": 8},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Served]:
    """A run of each family, trained for three steps on digits, as it is served."""
    out = tmp_path_factory.mktemp("runs")
    settings = {"steps": 3, "batch_size": 8, "device": "cpu", "threads": 1, "kernels": "standard", "out": out}
    return {
        name: open_served(api.train(name, "digits", **settings, **options).path, device="cpu")
        for name, options in SMALL.items()
    }


@pytest.fixture
def diffusion(runs: dict[str, Served]) -> Served:
    return runs["diffusion"]


@pytest.fixture
def vae(runs: dict[str, Served]) -> Served:
    return runs["vae"]


@pytest.fixture
def rbm(runs: dict[str, Served]) -> Served:
    return runs["rbm"]


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    """As in the model's thread."""
    with torch.no_grad():
        yield


def steps(served: Served, op: str, payload: bytes = b"", **fields: Any) -> list[Any]:
    """All that an operation gives: answers, and turns for others."""
    request = Request.read(json.loads(json.dumps({"op": op, **fields})), payload, models=1)
    return list(OPERATIONS[op](served, None, request))  # type: ignore[arg-type]


def answers(served: Served, op: str, payload: bytes = b"", **fields: Any) -> list[Reply]:
    return [step for step in steps(served, op, payload, **fields) if isinstance(step, Reply)]


def pixels(reply: Reply) -> np.ndarray[Any, Any]:
    assert isinstance(reply.pictures, Tensor)
    return to_uint8(reply.pictures)


def test_capabilities_are_asked_by_type(runs: dict[str, Served]) -> None:
    """A family from outside offers the views too."""
    told = {name: {"diffusion", "vae", "rbm"} & {*served.info["capabilities"]} for name, served in runs.items()}
    assert told == {name: {name} for name in runs}
    outside = {"diffusion": toys.SoundDenoising(), "vae": toys.SoundPosterior(), "rbm": toys.SoundGibbs()}
    for word, model in outside.items():
        assert [name for name in outside if CAPABILITIES[name](model, None)] == [word]


def test_what_a_model_cannot_do_is_refused_in_a_sentence(runs: dict[str, Served]) -> None:
    asked = {"diffusion": ["decode.preview", "denoise", "denoise.noise"], "vae": ["posterior", "posterior.usage"]}
    asked |= {"rbm": ["gibbs", "gibbs.filters", "gibbs.unit"]}
    for name, ops in asked.items():
        for other in runs.keys() - {name}:
            for op in ops:
                with pytest.raises(UsageError, match=rf"^{other} has no .*{name}"):
                    answers(runs[other], op)


# Denoise


def test_a_sampling_is_told_level_by_level_and_ends_at_the_picture(diffusion: Served) -> None:
    model = diffusion.model
    assert isinstance(model, Denoising)
    told = answers(diffusion, "denoise", seed=5)
    assert [reply.fields["level"] for reply in told] == [0, 1, 2, 3, 4]
    assert [reply.fields["sigma"] for reply in told] == model.noise_levels()
    assert [reply.more for reply in told] == [True] * 4 + [False], "each is sent at once"
    drawn = to_uint8(model.decode(model.prior([5])))
    assert np.array_equal(pixels(told[-1]), np.concatenate([drawn, drawn]))
    by_latent = answers(diffusion, "denoise", model.prior([5]).numpy().tobytes())
    assert all(np.array_equal(pixels(a), pixels(b)) for a, b in zip(told, by_latent))
    assert len(answers(diffusion, "denoise", seed=5, steps=9, sampler="heun")) == 10


def test_a_fork_has_the_same_past_and_a_future_of_its_seed(diffusion: Served) -> None:
    model = diffusion.model
    assert isinstance(model, Denoising)
    plain = answers(diffusion, "denoise", seed=5)
    fork = answers(diffusion, "denoise", seed=5, fork_seed=8, **{"from": 2})
    silent, shown = fork[:2], fork[2:]
    assert all(reply.pictures is None for reply in silent)
    assert [reply.fields["level"] for reply in shown] == [2, 3, 4]
    assert np.array_equal(pixels(shown[0]), pixels(plain[2])), "at the level of the fork both are the same"
    levels = model.noise_levels()
    x = list(model.denoising(model.prior([5])))[2].x
    *_, last = ddpm_steps(model.denoiser(), x, levels[2:], noise=Streams([8]))
    assert np.array_equal(pixels(shown[-1])[:1], to_uint8(last.x.clamp(-1, 1)))
    other = answers(diffusion, "denoise", seed=5, fork_seed=9, **{"from": 2})
    assert not np.array_equal(pixels(other[-1]), pixels(shown[-1]))
    assert len(answers(diffusion, "denoise", seed=5, fork_seed=9, **{"from": 4})) == 5


def test_a_preview_takes_few_steps_and_lets_others_between(diffusion: Served) -> None:
    model = diffusion.model
    assert isinstance(model, Denoising)
    z = model.prior([1, 2])
    found = steps(diffusion, "decode.preview", z.numpy().tobytes(), steps=2)
    assert found[:-1] == [None, None, None]
    *_, last = model.denoising(z, steps=2, sampler="dpm++2m")
    assert np.array_equal(pixels(found[-1]), to_uint8(last.x.clamp(-1, 1)))
    whole = steps(diffusion, "decode", z.numpy().tobytes())
    assert whole[0].more and whole[0].pictures is None, "so that a newer request ends it between two steps"
    assert whole[1:-1] == [None] * 5 and np.array_equal(pixels(whole[-1]), to_uint8(model.decode(z)))


def test_a_newer_request_ends_a_full_sampling_between_two_steps(diffusion: Served) -> None:
    """Of so many steps it would not end in this test's time."""
    model, z = diffusion.model, floats(diffusion.model.prior([1]).numpy())  # type: ignore[operator]
    model.adjust({"num_inference_steps": 10_000})
    try:
        with serving(diffusion) as link, opened(link) as page:
            long = page.send("decode", z)
            assert page.receive()[0] == long, "it has begun"
            rough = page.send("decode.preview", z)
            ends = dict(page.receive() for _ in range(2))
    finally:
        model.adjust({"num_inference_steps": 4})
    assert ends[long].fields["cancelled"] and ends[rough].pictures.shape == (1, 8, 8, 1)


def test_the_noise_of_a_picture_gives_it_again(diffusion: Served) -> None:
    model = diffusion.model
    assert isinstance(model, Denoising)
    model.adjust({"num_inference_steps": 60, "sampler": "heun"})  # type: ignore[attr-defined]
    try:
        picture = to_uint8(model.decode(model.prior([3])))
        (found,) = answers(diffusion, "denoise.noise", picture.tobytes(), h=8, w=8, c=1)
        assert isinstance(found.numbers, Tensor)
        again = model.decode(found.numbers)
        assert (again - from_uint8(picture)).abs().mean() < 0.05
    finally:
        model.adjust({"num_inference_steps": 4, "sampler": "dpm++2m"})  # type: ignore[attr-defined]


def test_a_latent_may_be_larger_than_other_messages(tmp_path: Path) -> None:
    """Noise in the shape of a large picture, but not two of them."""
    find("diffusion")(size=304, channels=3, base_channels=4, num_inference_steps=1).save(tmp_path / "large")
    latent = np.zeros((1, 3, 304, 304), "<f4").tobytes()
    assert len(latent) > REQUEST_BYTES
    with serving(open_served(tmp_path / "large", device="cpu")) as link, opened(link) as page:
        shown = page.ask("decode.preview", latent, steps=1).fields["pictures"]
        assert [shown[name] for name in "nhwc"] == [1, 304, 304, 3]
        page.send("decode.preview", 2 * latent, steps=1)
        with pytest.raises(ConnectionClosed, match="1007"):
            page.receive()


# Latent space


def test_a_posterior_is_that_of_the_encoder(vae: Served) -> None:
    model = vae.model
    assert isinstance(model, HasPosterior)
    z = model.prior([4])
    (told,) = answers(vae, "posterior", z.numpy().tobytes())
    image = model.decode(z)
    mean, log_variance = model.posterior(image)
    assert np.array_equal(pixels(told), to_uint8(torch.cat([image, model.decode(mean)])))
    assert isinstance(told.numbers, Tensor) and told.numbers.shape == (3, 6)
    torch.testing.assert_close(told.numbers[0], mean[0])
    torch.testing.assert_close(told.numbers[1].log() * 2, log_variance[0])
    wanted = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, (log_variance / 2).exp()), torch.distributions.Normal(0.0, 1.0)
    )
    torch.testing.assert_close(told.numbers[2], wanted[0], atol=1e-6, rtol=1e-4)
    (given,) = answers(vae, "posterior", to_uint8(image).tobytes(), given="pixels", h=8, w=8, c=1)
    assert isinstance(given.numbers, Tensor)
    torch.testing.assert_close(given.numbers[0], mean[0], atol=0.05, rtol=0.05)


def test_the_map_has_every_training_picture_once(vae: Served) -> None:
    model, pack = vae.model, DataSpec.parse("digits").open(8, 1)
    assert isinstance(model, HasPosterior)
    *sheets, final = answers(vae, "encodings")
    count = min(2000, len(pack))
    assert sum(reply.fields["count"] for reply in sheets) == count == sheets[0].fields["of"]
    assert pixels(sheets[0]).shape == (1, 64, 64, 1) and all(reply.more for reply in sheets)
    second = pixels(sheets[0])[0, :8, 8:16]
    assert np.array_equal(second, pack.images[1 * len(pack) // count]), "thumbnails go row by row"
    assert isinstance(final.numbers, Tensor) and final.numbers.shape == (count, 2)
    means = torch.cat([model.posterior(from_uint8(part))[0] for part in np.array_split(pack.images, 8)])
    centred = (means - means.mean(0)).double()
    along = torch.linalg.svd(centred, full_matrices=False)[1]
    torch.testing.assert_close(final.numbers.double().norm(dim=0), along[:2], rtol=1e-3, atol=1e-4)
    assert final.fields["groupings"][0]["groups"] and len(final.fields["labels"][0]) == count
    again = answers(vae, "encodings")
    assert torch.equal(again[-1].numbers, final.numbers) and len(again) == len(sheets) + 1


def test_a_place_of_the_map_is_looked_at(vae: Served) -> None:
    model, pack = vae.model, DataSpec.parse("digits").open(8, 1)
    (told,) = answers(vae, "encodings.look", index=7)
    assert np.array_equal(pixels(told)[0], pack.images[7 * len(pack) // min(2000, len(pack))])
    assert isinstance(told.numbers, Tensor)
    assert np.array_equal(pixels(told)[1:], to_uint8(model.decode(told.numbers[:1])))  # type: ignore[operator]
    assert told.fields["named"] == {"class": pack.classes[int(pack.labels[7])]}  # type: ignore[index]


def test_latents_that_are_not_used_are_told_apart(vae: Served) -> None:
    model = vae.model
    assert isinstance(model, HasPosterior)
    found = steps(vae, "posterior.usage")
    assert None in found and isinstance(found[-1].numbers, Tensor)
    z = model.prior(range(256))
    kl = encodings.latent_kl(*model.posterior(model.decode(z))).mean(0)
    torch.testing.assert_close(found[-1].numbers, kl, atol=1e-5, rtol=1e-3)
    assert found[-1].fields == {"active": 0.01, "measured": 256}


def test_two_latents_are_the_map_themselves_and_one_lies_on_a_line() -> None:
    means = torch.tensor([[1.0], [2.0], [4.0]])
    places, explained = encodings.principal_places(means)
    torch.testing.assert_close(places, torch.tensor([[-4 / 3, 0], [-1 / 3, 0], [5 / 3, 0]]))
    assert explained == pytest.approx([1, 0])
    flat, shares = encodings.principal_places(torch.ones(4, 3))
    assert not flat.any() and shares == [0, 0]


def test_a_model_without_a_run_has_no_training_pictures(vae: Served, tmp_path: Path) -> None:
    vae.model.save(tmp_path / "alone")
    alone = open_served(tmp_path / "alone", device="cpu")
    for op, fields in (("encodings", {}), ("encodings.look", {"index": 0})):
        with pytest.raises(UsageError, match="is no run with data"):
            answers(alone, op, **fields)


# Gibbs


def test_a_chain_is_the_same_in_one_request_or_in_many(rbm: Served) -> None:
    model = rbm.model
    assert isinstance(model, GibbsSampling)
    start = model.prior([2]).numpy().tobytes()
    (whole,) = answers(rbm, "gibbs", start, hidden=1, steps=7, seed=3)
    hidden, position = start, 0
    for count in (1, 4, 2):
        (part,) = answers(rbm, "gibbs", hidden, hidden=1, steps=count, seed=3, position=position)
        hidden, position = part.numbers.numpy().tobytes(), part.fields["position"]  # type: ignore[union-attr]
    assert position == 7 and np.array_equal(pixels(part), pixels(whole)) and torch.equal(part.numbers, whole.numbers)
    (other,) = answers(rbm, "gibbs", start, hidden=1, steps=7, seed=4)
    assert not np.array_equal(pixels(other), pixels(whole))


def test_long_chains_let_others_have_their_turn(rbm: Served) -> None:
    found = steps(rbm, "gibbs", steps=120)
    assert found[:-1] == [None, None]
    assert set(np.unique(pixels(found[-1])[0])) <= {0, 255}, "visible units are binary"


def test_the_free_energy_is_that_of_the_picture(rbm: Served) -> None:
    model = rbm.model
    assert isinstance(model, GibbsSampling)
    (told,) = answers(rbm, "gibbs", steps=3, temperature=2.0)
    visible = torch.from_numpy((pixels(told)[0] > 0).reshape(1, -1)).float()
    assert told.fields["free_energy"] == pytest.approx(model.machine().free_energy(visible).item(), abs=1e-3)


def test_held_pixels_stay_as_they_were_drawn(rbm: Served) -> None:
    drawn, mask = np.zeros((8, 8, 1), np.uint8), np.zeros((8, 8), np.uint8)
    drawn[:4, :, 0], mask[:5] = 255, 1
    (told,) = answers(rbm, "gibbs", drawn.tobytes() + mask.tobytes(), held=1, steps=30)
    assert np.array_equal(pixels(told)[0, :5], drawn[:5])
    free = [
        answers(rbm, "gibbs", drawn.tobytes() + mask.tobytes(), held=1, steps=30, seed=seed)[0] for seed in range(4)
    ]
    assert len({pixels(reply)[0, 5:].tobytes() for reply in free}) > 1, "the others are drawn"
    (nothing,) = answers(rbm, "gibbs", drawn.tobytes() + bytes(64), held=1, steps=5)
    (unheld,) = answers(rbm, "gibbs", steps=5)
    assert np.array_equal(pixels(nothing), pixels(unheld))


def test_filters_come_by_their_norm_with_zero_in_the_middle(rbm: Served) -> None:
    model = rbm.model
    assert isinstance(model, GibbsSampling)
    with torch.no_grad():
        model.machine().weight[:, 3] = 0
    (told,) = answers(rbm, "gibbs.filters")
    assert sorted(told.fields["units"]) == list(range(20)) and told.fields["of"] == 20
    assert told.fields["norms"] == sorted(told.fields["norms"], reverse=True) and told.fields["units"][-1] == 3
    assert isinstance(told.pictures, np.ndarray) and told.pictures.shape == (20, 8, 8, 1)
    assert (told.pictures[-1] == 128).all()
    unit = told.fields["units"][0]
    weight = model.machine().weight[:, unit].reshape(8, 8)
    assert np.array_equal(told.pictures[0, :, :, 0], (weight / weight.abs().max() * 127 + 128).round().byte().numpy())
    (some,) = answers(rbm, "gibbs.filters", first=18, count=5)
    assert some.fields["units"] == told.fields["units"][18:]


def test_a_hidden_unit_is_turned_on_most_by_the_pictures_that_it_tells(rbm: Served) -> None:
    model, pack = rbm.model, DataSpec.parse("digits").open(8, 1)
    assert isinstance(model, GibbsSampling)
    (told,) = answers(rbm, "gibbs.unit", unit=5)
    chances = told.fields["probabilities"]
    assert chances == sorted(chances, reverse=True) and len(chances) == 16 and told.fields["mean"] <= chances[0]
    assert isinstance(told.pictures, np.ndarray) and told.pictures.shape == (16, 8, 8, 1)
    known = {image.tobytes() for image in pack.images}
    assert all(picture.tobytes() in known for picture in told.pictures)


# Messages of other lengths, numbers and words


LATENT = np.zeros(64, "<f4").tobytes()
HOSTILE: list[tuple[str, str, bytes, dict[str, Any]]] = [
    ("diffusion", "denoise", b"", {}),
    ("diffusion", "denoise", LATENT[:-4], {}),
    ("diffusion", "denoise", 2 * LATENT, {}),
    ("diffusion", "denoise", LATENT, {"steps": 0}),
    ("diffusion", "denoise", LATENT, {"steps": 10**9}),
    ("diffusion", "denoise", LATENT, {"steps": 2.5}),
    ("diffusion", "denoise", LATENT, {"steps": 5, "from": 6}),
    ("diffusion", "denoise", LATENT, {"from": -1}),
    ("diffusion", "denoise", LATENT, {"sampler": "best"}),
    ("diffusion", "denoise", LATENT, {"sampler": ["heun"]}),
    ("diffusion", "denoise", LATENT, {"fork_seed": 2**63}),
    ("diffusion", "denoise", b"", {"seed": -1}),
    ("diffusion", "denoise", b"", {"seed": True}),
    ("diffusion", "denoise", np.full(64, np.nan, "<f4").tobytes(), {}),
    ("diffusion", "denoise", np.full(64, 1e30, "<f4").tobytes(), {}),
    ("diffusion", "decode.preview", b"", {}),
    ("diffusion", "decode.preview", LATENT * 65, {}),
    ("diffusion", "decode.preview", LATENT, {"steps": 201}),
    ("diffusion", "denoise.noise", bytes(64), {}),
    ("diffusion", "denoise.noise", bytes(63), {"h": 8, "w": 8, "c": 1}),
    ("diffusion", "denoise.noise", bytes(192), {"h": 8, "w": 8, "c": 3}),
    ("diffusion", "denoise.noise", bytes(32), {"h": 4, "w": 8, "c": 1}),
    ("diffusion", "denoise.noise", bytes(4096), {"h": 64, "w": 64, "c": 1}),
    ("vae", "posterior", b"", {}),
    ("vae", "posterior", bytes(23), {}),
    ("vae", "posterior", np.full(6, np.inf, "<f4").tobytes(), {}),
    ("vae", "posterior", bytes(64), {"given": "pixels", "h": 8, "w": 8, "c": 4}),
    ("vae", "posterior", bytes(64), {"given": "pixels"}),
    ("vae", "posterior", bytes(24), {"given": "file"}),
    ("vae", "encodings.look", b"", {}),
    ("vae", "encodings.look", b"", {"index": -1}),
    ("vae", "encodings.look", b"", {"index": 10**6}),
    ("vae", "encodings.look", b"", {"index": "0"}),
    ("rbm", "gibbs", bytes(80), {}),
    ("rbm", "gibbs", b"", {"hidden": 1}),
    ("rbm", "gibbs", bytes(79), {"hidden": 1}),
    ("rbm", "gibbs", bytes(80), {"hidden": 2}),
    ("rbm", "gibbs", np.full(20, np.nan, "<f4").tobytes(), {"hidden": 1}),
    ("rbm", "gibbs", np.full(20, 1.5, "<f4").tobytes(), {"hidden": 1}),
    ("rbm", "gibbs", np.full(20, -1e30, "<f4").tobytes(), {"hidden": 1}),
    ("rbm", "gibbs", bytes(64), {"held": 1}),
    ("rbm", "gibbs", bytes(129), {"held": 1}),
    ("rbm", "gibbs", bytes(128), {"hidden": 1, "held": 1}),
    ("rbm", "gibbs", b"", {"steps": 1001}),
    ("rbm", "gibbs", b"", {"temperature": 0}),
    ("rbm", "gibbs", b"", {"temperature": 1e308}),
    ("rbm", "gibbs", b"", {"temperature": "hot"}),
    ("rbm", "gibbs", b"", {"position": 2**63}),
    ("rbm", "gibbs", b"", {"seed": 2**60}),
    ("rbm", "gibbs.filters", b"", {"first": 20}),
    ("rbm", "gibbs.filters", b"", {"count": 0}),
    ("rbm", "gibbs.filters", b"", {"count": 129}),
    ("rbm", "gibbs.unit", b"", {"unit": 20}),
    ("rbm", "gibbs.unit", b"", {}),
]


@pytest.mark.parametrize(("name", "op", "payload", "fields"), HOSTILE)
def test_what_the_page_never_sends_is_malformed(
    runs: dict[str, Served], name: str, op: str, payload: bytes, fields: dict[str, Any]
) -> None:
    with pytest.raises(BadRequest):
        answers(runs[name], op, payload, **fields)


def test_numbers_that_are_no_json_are_refused_before() -> None:
    with pytest.raises(BadRequest):
        Request.read({"temperature": float("nan"), "op": "gibbs"}, b"", models=1).number("temperature", low=0, high=9)
