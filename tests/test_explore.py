"""Paths, expressions, arithmetic and figures of latent space, checked on models whose answers are known exactly."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor
from torch.optim import Optimizer

from test_attributes import Pictures
from zeuxis import explore
from zeuxis.data import DataSpec
from zeuxis.errors import UsageError
from zeuxis.explore.arithmetic import to_norm
from zeuxis.explore.candidates import Candidates, choose_examples
from zeuxis.explore.expression import Vocabulary, base, wording
from zeuxis.explore.paths import interpolate_latents, linear, loop, slerp, weights
from zeuxis.io.images import to_uint8
from zeuxis.model import Batch, Clock, Encoder, Latent, Turn

WORDS = Vocabulary((("smiling", "neutral"), ("woman", "man"), ("glasses", "no glasses"), ("blond hair", "")))
SMILING, WOMAN, GLASSES, BLOND = range(4)
CLOTHES = Vocabulary(tuple((name, "") for name in ("t-shirt/top", "shirt", "sneaker", "ankle boot")), exclusive=True)
LATENT = 12


# Paths


def test_slerp_of_equal_norms_keeps_the_norm_and_turns_evenly() -> None:
    z1, z2 = torch.randn(5, 3, 4), torch.randn(5, 3, 4)
    z1, z2 = (7 * z / z.flatten(1).norm(dim=1).view(-1, 1, 1) for z in (z1, z2))
    walk = torch.stack([slerp(z1, z2, w) for w in weights(9)]).flatten(2)
    assert torch.allclose(walk.norm(dim=2), torch.full((9, 5), 7.0), atol=1e-5)
    steps = walk.diff(dim=0).norm(dim=2)
    assert torch.allclose(steps, steps[0].expand_as(steps), atol=1e-4)


def test_slerp_agrees_with_the_formula() -> None:
    z1, z2 = torch.randn(6, 40, dtype=torch.float64), torch.randn(6, 40, dtype=torch.float64)
    u1, u2 = z1 / z1.norm(dim=1, keepdim=True), z2 / z2.norm(dim=1, keepdim=True)
    angle = torch.acos((u1 * u2).sum(1, keepdim=True))
    direction = torch.sin(0.3 * angle) / torch.sin(angle) * u1 + torch.sin(0.7 * angle) / torch.sin(angle) * u2
    norm = 0.3 * z1.norm(dim=1, keepdim=True) + 0.7 * z2.norm(dim=1, keepdim=True)
    assert torch.allclose(slerp(z1, z2, 0.3), norm * direction, atol=1e-12)


@given(
    weight=st.floats(0, 1),
    scale=st.floats(0.01, 100),
    kind=st.sampled_from(["same", "parallel", "opposite", "nearly opposite", "zero", "both zero"]),
)
@settings(max_examples=60, deadline=None)
def test_slerp_is_finite_and_between_the_norms_in_degenerate_cases(weight: float, scale: float, kind: str) -> None:
    z1 = torch.randn(1, 8, generator=torch.Generator().manual_seed(1)) * scale
    nearly = z1 + 1e-7 * scale * torch.ones(1, 8)
    z2 = {"same": z1, "parallel": 3 * z1, "opposite": -z1, "nearly opposite": -nearly, "zero": 0 * z1}.get(kind, 0 * z1)
    z1 = 0 * z1 if kind == "both zero" else z1
    norm = slerp(z1, z2, weight).norm()
    low, high = sorted([float(z1.norm()), float(z2.norm())])
    assert low - 1e-4 * scale <= norm <= high + 1e-4 * scale


def test_slerp_takes_one_weight_per_sample() -> None:
    z1, z2 = torch.randn(3, 8), torch.randn(3, 8)
    mixed = slerp(z1, z2, torch.tensor([1.0, 0.5, 0.0]))
    assert torch.equal(mixed[0], z1[0])
    assert torch.equal(mixed[1], slerp(z1, z2, 0.5)[1])
    assert torch.equal(mixed[2], z2[2])


def test_linear_is_the_lectures_formula() -> None:
    z1, z2 = torch.randn(3, 2, 5), torch.randn(3, 2, 5)
    assert torch.allclose(linear(z1, z2, 0.3), 0.3 * z1 + 0.7 * z2)


@pytest.mark.parametrize("path", ["slerp", "linear"])
def test_interpolation_has_the_given_ends_exactly(path: explore.paths.Path) -> None:
    z1, z2 = torch.randn(5, 3, 4), torch.randn(5, 3, 4) * 2
    grid = interpolate_latents(z1, z2, 10, path=path)
    assert grid.shape == (5, 10, 3, 4)
    assert torch.equal(grid[:, 0], z1)
    assert torch.equal(grid[:, -1], z2)
    assert torch.allclose(grid[:, 3], (slerp if path == "slerp" else linear)(z1, z2, 6 / 9), atol=1e-6)


def test_interpolation_refuses_what_it_cannot_do() -> None:
    with pytest.raises(UsageError, match="columns is 1"):
        interpolate_latents(torch.randn(2, 3), torch.randn(2, 3), 1)
    with pytest.raises(UsageError, match="shapes"):
        interpolate_latents(torch.randn(2, 3), torch.randn(2, 4), 5)
    with pytest.raises(UsageError, match="choose slerp or linear"):
        interpolate_latents(torch.randn(2, 3), torch.randn(2, 3), 5, path="bezier")  # type: ignore[arg-type]


@pytest.mark.parametrize("pace", ["eased", "constant"])
def test_loop_passes_every_latent_and_comes_back(pace: explore.paths.Pace) -> None:
    z = torch.nn.functional.normalize(torch.randn(4, 30, generator=torch.Generator().manual_seed(0)), dim=1)
    walk = loop(z, 400, pace=pace)
    assert walk.shape == (400, 30)
    assert torch.equal(walk[0], z[0])
    assert (torch.cdist(z, walk).min(1).values < 0.02).all()
    steps = torch.cat([walk, walk[:1]]).diff(dim=0).norm(dim=1)
    assert steps.max() < 0.03
    if pace == "constant":
        assert steps.max() < 1.05 * steps.median()
        assert (steps < 0.95 * steps.median()).sum() <= len(z)  # the steps that cut a corner
    else:
        assert torch.allclose(walk[::100], z, atol=1e-6)
        assert steps[0] < 0.1 * steps.max()


def test_loop_through_equal_latents_stays() -> None:
    z = torch.ones(3, 4)
    assert torch.allclose(loop(z, 7, pace="constant"), torch.ones(7, 4))
    with pytest.raises(UsageError, match="2 or more"):
        loop(z[:1], 7)


# Expressions


def terms(text: str) -> list[tuple[float, dict[int, bool]]]:
    return [(term.weight, term.wanted) for term in explore.parse_terms(text, WORDS)]


def test_the_lectures_expression() -> None:
    assert terms("smiling woman - neutral woman + neutral man") == [
        (1, {SMILING: True, WOMAN: True}),
        (-1, {SMILING: False, WOMAN: True}),
        (1, {SMILING: False, WOMAN: False}),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("woman \u2212 man", [(1, {WOMAN: True}), (-1, {WOMAN: False})]),
        ("-woman + 0.5 * smiling man", [(-1, {WOMAN: True}), (0.5, {SMILING: True, WOMAN: False})]),
        ("2*a man with glasses -  .25 * the woman", [(2, {WOMAN: False, GLASSES: True}), (-0.25, {WOMAN: True})]),
        ("man without glasses and blond hair", [(1, {WOMAN: False, GLASSES: False, BLOND: True})]),
        ("Woman with no glasses", [(1, {WOMAN: True, GLASSES: False})]),
        ("not blond, smiling", [(1, {BLOND: False, SMILING: True})]),
        ("without blond_hair", [(1, {BLOND: False})]),
    ],
)
def test_expressions(text: str, expected: list[tuple[float, dict[int, bool]]]) -> None:
    assert terms(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "smiling womann",
            "'womann' \\(did you mean 'woman'\\?\\); there are the attributes: smiling / neutral, woman",
        ),
        ("woman with hats", "no attribute or class 'hats'"),
        ("", "empty"),
        ("woman + ", "nothing stands after a \\+"),
        ("woman - + man", "nothing stands after a -"),
        ("smiling neutral man", "no image is both smiling and neutral"),
        ("blond hair without blond hair", "no image is both blond hair and not blond hair"),
        ("woman without", "nothing follows 'without'"),
        ("a person", "names no attribute"),
        ("sneaker - boot", "no attribute or class 'sneaker'"),
    ],
)
def test_expressions_that_mean_nothing_say_so_on_one_line(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        explore.parse_terms(text, WORDS)
    assert "\n" not in str(caught.value)


def test_classes_serve_as_words() -> None:
    parsed = explore.parse_terms("sneaker - boot + t-shirt", CLOTHES)
    assert [term.wanted for term in parsed] == [{2: True}, {3: True}, {0: True}]
    assert explore.parse_terms("shirt - top", CLOTHES)[0].wanted == {1: True}
    with pytest.raises(UsageError, match="not both sneaker and shirt"):
        explore.parse_terms("sneaker shirt", CLOTHES)
    assert explore.target(explore.parse_terms("sneaker - boot + boot", CLOTHES), CLOTHES) == {2: True}
    with pytest.raises(UsageError, match="add up to sneaker and shirt"):
        explore.target(explore.parse_terms("sneaker - boot + shirt", CLOTHES), CLOTHES)


def test_digits_are_classes_and_weights() -> None:
    digits = Vocabulary(tuple((str(digit), "") for digit in range(10)), exclusive=True)
    parsed = explore.parse_terms("3 - 0.5 * 5 + 2 * 8", digits)
    assert [(term.weight, term.wanted) for term in parsed] == [(1, {3: True}), (-0.5, {5: True}), (2, {8: True})]


def test_vocabulary_prefers_attributes_and_needs_some() -> None:
    attributes = [SimpleNamespace(name=name, opposite=opposite) for name, opposite in WORDS.names]
    assert explore.vocabulary(attributes, ["x"]) == WORDS
    assert explore.vocabulary([], ["0", "1"]) == Vocabulary((("0", ""), ("1", "")), exclusive=True)
    with pytest.raises(UsageError, match="neither attributes nor classes"):
        explore.vocabulary([], [])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("smiling woman - neutral woman + neutral man", {SMILING: True, WOMAN: False}),
        ("man with glasses - man without glasses + woman", {WOMAN: True, GLASSES: True}),
        ("smiling woman - woman + man", {SMILING: True, WOMAN: False}),
        ("neutral woman - smiling woman + smiling man", {SMILING: False, WOMAN: False}),
        ("0.5 * smiling woman + 0.5 * smiling man", {SMILING: True}),
    ],
)
def test_target_is_the_sum_of_what_the_terms_say(text: str, expected: dict[int, bool]) -> None:
    assert explore.target(explore.parse_terms(text, WORDS), WORDS) == expected


def test_wording_puts_attributes_in_words() -> None:
    assert wording({SMILING: True, WOMAN: False, BLOND: False}, WORDS) == "smiling, man, no blond hair"


# Arithmetic, with a model whose first four latent numbers are the attributes (-1 or 1) and whose decoder is linear


@dataclass(eq=False)
class Toy(Latent):
    """An orthogonal map from latents to images."""

    def build(self) -> None:
        generator = torch.Generator().manual_seed(0)
        basis = torch.linalg.qr(torch.randn(3 * 8 * 8, self.latent_dim, generator=generator)).Q
        self.basis = torch.nn.Parameter(basis)

    def optimizers(self) -> dict[str, Optimizer]:
        return {}

    def losses(self, batch: Batch, clock: Clock) -> Iterator[Turn]:
        yield "toy", {}

    def prior(self, seeds: Sequence[int]) -> Tensor:
        z = super().prior(seeds)
        # Most who smile wear glasses, and few others: the bias that balance must remove.
        z[:, GLASSES] += 0.7 * z[:, SMILING]
        z[:, :4] = torch.where(z[:, :4] > 0, 1.0, -1.0)
        return z

    def decode(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return (z @ self.basis.T).reshape(-1, 3, 8, 8)


class ToyEncoder(Toy, Encoder):
    """The same, with the way back."""

    def encode(self, image: Tensor) -> Tensor:
        return image.flatten(1) @ self.basis


class ToyReader:
    """Reads the attributes exactly."""

    def __init__(self, toy: Toy) -> None:
        self.toy = toy

    def read(self, images: Tensor) -> Tensor:
        return torch.sigmoid(20 * (images.flatten(1) @ self.toy.basis)[:, :4])


@pytest.fixture(scope="module")
def toy() -> Toy:
    return Toy(size=8, latent_dim=LATENT).requires_grad_(False)


@pytest.fixture(scope="module")
def known(toy: Toy) -> Candidates:
    return explore.sampled(toy, ToyReader(toy), seeds=range(600))


LECTURE = explore.parse_terms("smiling woman - neutral woman + neutral man", WORDS)
GLASSES_ON = explore.parse_terms("man with glasses - man without glasses + woman without glasses", WORDS)


def test_samples_are_read_and_known_by_their_seeds(toy: Toy, known: Candidates) -> None:
    assert torch.equal(known.labels.round(), (known.latents[:, :4] > 0).float())
    assert torch.equal(known.latents[17], toy.prior([17])[0])
    assert known.length == pytest.approx(math.sqrt(LATENT), rel=0.05)


def test_choices_show_what_the_term_says_and_repeat_with_the_seed(known: Candidates) -> None:
    for balance in (True, False):
        chosen = choose_examples(LECTURE, known, count=20, seed=3, balance=balance)
        for term, at in zip(LECTURE, chosen):
            assert len(set(at.tolist())) == 20
            for index, present in term.wanted.items():
                assert ((known.labels[at, index] > 0.5) == present).all()
        again = choose_examples(LECTURE, known, count=20, seed=3, balance=balance)
        other = choose_examples(LECTURE, known, count=20, seed=4, balance=balance)
        assert all(torch.equal(a, b) for a, b in zip(chosen, again))
        assert not all(torch.equal(a, b) for a, b in zip(chosen, other))


def test_balance_subtracts_people_who_differ_in_what_is_named_alone(known: Candidates) -> None:
    chosen = choose_examples(LECTURE, known, count=25, seed=0)
    profiles = [known.labels[at][:, [GLASSES, BLOND]].round() for at in chosen]
    assert torch.equal(profiles[0], profiles[1])
    assert not torch.equal(profiles[2], profiles[1])
    blond = explore.parse_terms("smiling woman - neutral woman + blond man", WORDS)
    # Blond hair is named by the free term alone: it must cancel too.
    chosen = choose_examples(blond, known, count=25, seed=0)
    assert torch.equal(*(known.labels[at][:, [GLASSES, BLOND]].round() for at in chosen[:2]))


def test_balance_of_a_plain_sum_or_difference_makes_all_alike(known: Candidates) -> None:
    for text in ("smiling woman - neutral woman", "0.5 * smiling man + 0.5 * neutral man"):
        one, other = choose_examples(explore.parse_terms(text, WORDS), known, count=25, seed=0)
        assert torch.equal(
            known.labels[one][:, [GLASSES, BLOND]].round(), known.labels[other][:, [GLASSES, BLOND]].round()
        )


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("smiling woman - neutral woman + neutral man", 2),
        ("neutral man + smiling woman - neutral woman", 1),
        ("smiling woman - man", 0),
        ("woman + smiling man", 1),
        ("-woman", 0),
        ("smiling woman + 0.5 * man - 0.5 * woman", 0),
    ],
)
def test_base_is_the_term_the_others_change(text: str, place: int) -> None:
    assert base(explore.parse_terms(text, WORDS)) == place


def test_a_rare_term_repeats_its_few_examples(known: Candidates) -> None:
    few = Candidates(known.latents[:40], known.labels[:40], known.origins[:40])
    chosen = choose_examples(LECTURE, few, count=30)
    assert [len(at) for at in chosen] == [30, 30, 30]


def test_a_term_without_examples_says_so(known: Candidates) -> None:
    men = known.labels[:, WOMAN] < 0.5
    only = Candidates(known.latents[men], known.labels[men], known.origins[men])
    with pytest.raises(UsageError, match="samples is classified as 'smiling woman'"):
        choose_examples(LECTURE, only, count=3)


@pytest.mark.parametrize("average", [1, 3, 10])
def test_arithmetic_of_a_linear_model_is_exact(toy: Toy, known: Candidates, average: int) -> None:
    outcome = explore.latent_arithmetic(toy, LECTURE, candidates=known, average=average, length=None, seed=average)
    base = outcome.averages[2]
    assert outcome.result[SMILING] == pytest.approx(1, abs=1e-5)
    assert outcome.result[WOMAN] == pytest.approx(-1, abs=1e-5)
    assert torch.allclose(outcome.result[[GLASSES, BLOND]], base[[GLASSES, BLOND]], atol=1e-5)
    expected = outcome.picks[0].latents.mean(0) - outcome.picks[1].latents.mean(0) + outcome.picks[2].latents.mean(0)
    assert torch.allclose(outcome.result, expected, atol=1e-5)
    assert [torch.equal(toy.prior(pick.origins), pick.latents) for pick in outcome.picks] == [True] * 3


def test_without_balance_a_bias_of_the_data_leaks(toy: Toy, known: Candidates) -> None:
    def leak(balance: bool) -> float:
        outcome = explore.latent_arithmetic(
            toy, LECTURE, candidates=known, average=100, length=None, balance=balance, seed=1
        )
        return float((outcome.result - outcome.averages[2])[GLASSES])

    assert leak(balance=False) > 0.5
    assert abs(leak(balance=True)) < 1e-4


def test_length_is_kept_when_asked(toy: Toy, known: Candidates) -> None:
    short = explore.latent_arithmetic(toy, LECTURE, candidates=known, average=50, length=None)
    full = explore.latent_arithmetic(toy, LECTURE, candidates=known, average=50, length=1.0)
    assert short.result.norm() < 0.8 * known.length
    assert full.result.norm() == pytest.approx(known.length, rel=1e-5)
    assert torch.allclose(full.averages.norm(dim=1), torch.full((3,), known.length), rtol=1e-5)
    assert torch.allclose(full.result / full.result.norm(), short.result / short.result.norm(), atol=1e-6)
    assert torch.equal(to_norm(torch.zeros(1, 3), 2.0), torch.zeros(1, 3))


def test_the_neighbourhood_has_the_result_in_the_middle(toy: Toy, known: Candidates) -> None:
    outcome = explore.latent_arithmetic(toy, LECTURE, candidates=known, average=10, seed=5)
    around = outcome.neighbourhood
    assert torch.equal(around[4], outcome.result)
    apart = (around - outcome.result).abs() / known.spread
    assert apart.max() <= 0.25 * math.sqrt(3)
    assert (apart[[0, 1, 2, 3, 5, 6, 7, 8]].amax(1) > 0.2).all()


def test_seeds_picked_by_hand(toy: Toy) -> None:
    outcome = explore.from_seeds(toy, [(1, [1, 2, 3]), (-1, [4]), (0.5, [5, 6])])
    z = toy.prior([1, 2, 3, 4, 5, 6])
    assert torch.allclose(outcome.result, z[:3].mean(0) - z[3] + 0.5 * z[4:].mean(0), atol=1e-6)
    assert outcome.picks[0].text == "seeds 1, 2, 3"
    with pytest.raises(UsageError, match="no seeds"):
        explore.from_seeds(toy, [(1, [1]), (-1, [])])


def test_an_encoder_takes_its_examples_from_labelled_images() -> None:
    model = ToyEncoder(size=8, latent_dim=LATENT).requires_grad_(False)
    z = 0.2 * model.prior(range(50))
    pack = Pictures(
        images=((model.decode(z) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy(),
        labels=(z[:, :4] > 0).byte().numpy(),
        classes=[],
    )
    found = explore.candidates(model, pack, reader=ToyReader(model), count=40, seed=1)
    assert len(found) == 40
    assert found.source == "image"
    assert torch.allclose(found.latents, z[found.origins], atol=0.05)
    assert torch.equal(found.labels, (z[found.origins, :4] > 0).float())
    classes = Pictures(images=pack.images, labels=np.arange(50) % 3, classes=["a", "b", "c"])
    assert torch.equal(explore.encoded(model, classes).labels.argmax(1), torch.arange(50) % 3)
    with pytest.raises(UsageError, match="no attributes or classes"):
        explore.encoded(model, Pictures(images=pack.images, labels=None, classes=[]))


def test_fewer_images_are_encoded_where_each_takes_many_calls() -> None:
    class Slow(ToyEncoder):
        @property
        def encode_nfe(self) -> int:
            return 20

    labels = np.arange(2000) % 2
    pack = Pictures(images=np.zeros((2000, 8, 8, 3), np.uint8), labels=labels, classes=["a", "b"])
    quick, slow = (kind(size=8, latent_dim=LATENT).requires_grad_(False) for kind in (ToyEncoder, Slow))
    assert len(explore.candidates(quick, pack, reader=ToyReader(quick))) == 2000
    assert len(explore.candidates(slow, pack, reader=ToyReader(slow))) == 1200
    assert len(explore.candidates(slow, pack, reader=ToyReader(slow), count=2000)) == 2000


def test_what_the_terms_say_is_encoded_first() -> None:
    """Of 40 images three groups of at most 10, all that there are of a rare one, and the rest blindly."""
    model = ToyEncoder(size=8, latent_dim=LATENT).requires_grad_(False)
    labels = (torch.rand(3000, 2, generator=torch.Generator().manual_seed(0)) < torch.tensor([0.5, 0.02])).byte()
    labels[:, 0] |= labels[:, 1]
    pack = Pictures(images=np.zeros((3000, 8, 8, 3), np.uint8), labels=labels.numpy(), classes=[])
    rare, common, both = {1: True}, {0: True, 1: False}, {0: False, 1: True}
    for wanted, least in ((rare, 10), (common, 10), (both, 0)):
        terms = [explore.Term(1.0, wanted, "x"), *(explore.Term(1.0, {0: False}, "y") for _ in range(2))]
        found = explore.encoded(model, pack, terms=terms, count=40)
        assert len(found) == len(set(found.origins.tolist())) == 40
        assert torch.equal(found.labels, labels[found.origins].float())
        assert len(found.matching(wanted, 0.9)) >= least
        assert len(found.matching({0: False}, 0.9)) >= 10
    few = int(labels[:, 1].sum())
    found = explore.encoded(model, pack, terms=[explore.Term(1.0, rare, "x")], count=2 * few + 10)
    assert len(found.matching(rare, 0.9)) == few


@pytest.mark.parametrize("expression", [LECTURE, GLASSES_ON])
def test_score_of_a_linear_model_is_perfect(toy: Toy, known: Candidates, expression: list[explore.Term]) -> None:
    rated = explore.score_arithmetic(
        toy, expression, words=WORDS, candidates=known, reader=ToyReader(toy), average=5, triples=20
    )
    assert rated.target == 1
    assert set(rated.each.values()) == {1.0}
    assert set(rated.changed.values()) == {0.0}
    assert "target reached by 100 % of 20 results, averages of 5" in rated.describe()[0]


def test_score_counts_what_is_wrong_and_what_changed(toy: Toy, known: Candidates) -> None:
    class Crooked(ToyReader):
        """Takes everybody for a woman, and a smile for blond hair."""

        def read(self, images: Tensor) -> Tensor:
            values = super().read(images)
            values[:, WOMAN], values[:, BLOND] = 1.0, values[:, SMILING]
            return values

    rated = explore.score_arithmetic(
        toy, LECTURE, words=WORDS, candidates=known, reader=Crooked(toy), average=3, triples=10, length=None
    )
    assert rated.target == 0
    assert rated.each == {"smiling": 1.0, "man": 0.0}
    assert rated.changed == {"glasses": 0.0, "blond hair": 1.0}
    assert "unintended changes: glasses 0 %, blond hair 100 %" in rated.describe()


def test_score_of_classes_is_the_class_they_add_up_to(toy: Toy, known: Candidates) -> None:
    class OneOf(ToyReader):
        """Reads which of the four numbers is the largest."""

        def read(self, images: Tensor) -> Tensor:
            return (20 * (images.flatten(1) @ self.toy.basis)[:, :4]).softmax(1)

    latents = known.latents.clone()
    latents[:, :4] = torch.eye(4)[torch.arange(len(latents)) % 4]
    among = Candidates(latents, latents[:, :4], known.origins)
    terms = explore.parse_terms("sneaker - boot + boot", CLOTHES)
    rated = explore.score_arithmetic(
        toy, terms, words=CLOTHES, candidates=among, reader=OneOf(toy), average=30, triples=10
    )
    assert rated.each == {"sneaker": 1.0}
    assert rated.target == 1
    assert rated.changed == {}


# Pictures to start from


def test_examples_show_what_is_asked_and_differ_by_seed() -> None:
    threes = explore.examples("digits:3", range(20), size=8, channels=1)
    pack = DataSpec.parse("digits").open(8, 1)
    assert pack.labels is not None
    known = {image.tobytes() for image, label in zip(pack.images, pack.labels) if label == 3}
    drawn = [image.tobytes() for image in to_uint8(threes)]
    assert set(drawn) <= known and len(set(drawn)) == 20
    assert torch.equal(explore.examples("digits:3", [7], size=8, channels=1)[0], threes[7])
    assert not torch.equal(explore.examples("digits:3", range(20), size=8, channels=1, order=1), threes)
    assert len(explore.examples("digits/test", [0, 1, 2], size=8, channels=1)) == 3


def test_examples_of_attributes_and_files(tmp_path: Path) -> None:
    for i in range(4):
        Image.new("L", (8, 8), 60 * i).save(tmp_path / f"{i}.png")
    (tmp_path / "table.csv").write_text("file,red,round\n0.png,1,0\n1.png,0,1\n2.png,1,1\n3.png,0,0\n")
    found = explore.examples(f"{tmp_path}:red without round", [0, 1], size=8, channels=1)
    torch.testing.assert_close(found, torch.full((2, 1, 8, 8), -1.0))
    one = explore.examples(str(tmp_path / "2.png"), [4, 5, 6], size=8, channels=1)
    torch.testing.assert_close(one, torch.full((3, 1, 8, 8), 120 / 127.5 - 1))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("digits:eleven", "no attribute or class 'eleven'"),
        ("digits:3 - 5", "is an expression"),
        ("nowhere.png", "no such folder or file"),
        ("nowhere:3", "no such folder or file"),
        ("bad\0name", "no such folder or file"),
    ],
)
def test_examples_that_are_not_there(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        explore.examples(spec, [0], size=8, channels=1)


# Figures


def test_interpolation_figure_holds_every_picture() -> None:
    colours = torch.rand(2, 5, 3, 1, 1) * 1.6 - 0.8
    drawn = explore.interpolation_figure(colours.expand(2, 5, 3, 16, 16), title="from z1 to z2")
    found = {colour for _, colour in drawn.getcolors(1 << 20) or []}
    wanted = ((colours.flatten(0, 1).flatten(1) + 1) * 127.5).round().int().tolist()
    assert {tuple(colour) for colour in wanted} <= found


def test_arithmetic_figure_draws_the_outcome(toy: Toy, known: Candidates) -> None:
    outcome = explore.latent_arithmetic(toy, LECTURE, candidates=known, average=10)
    shown = explore.pictures(toy, outcome)
    assert [len(examples) for examples in shown.examples] == [3, 3, 3]
    drawn = explore.arithmetic_figure(
        shown.examples,
        shown.averages,
        shown.neighbourhood,
        titles=[term.text for term in LECTURE],
        weights=[term.weight for term in LECTURE],
        average=10,
    )
    result = ((shown.neighbourhood[4].clamp(-1, 1) + 1) * 127.5).round().int().flatten(1).T.tolist()
    found = {colour for _, colour in drawn.getcolors(1 << 20) or []}
    assert {tuple(colour) for colour in result} <= found
    with pytest.raises(UsageError, match="one each per term"):
        explore.arithmetic_figure(shown.examples, shown.averages, shown.neighbourhood, titles=["a"], weights=[1])


def test_grey_pictures_and_strips_are_drawn() -> None:
    strip = explore.path_strip(torch.zeros(14, 1, 28, 28), label="a walk")
    assert strip.getpixel((strip.width // 2, strip.height // 3)) is not None
    assert (128, 128, 128) in {colour for _, colour in strip.getcolors(1 << 20) or []}
