"""Warnings come by name, for what is wrong and for nothing else; the display says the same on a terminal and without."""

from __future__ import annotations

import io
import math
from typing import Any

import pytest
import torch

from zeuxis.families import find
from zeuxis.runtime import progress
from zeuxis.training import diagnostics

LATE = 10 * diagnostics.WARM_UP
KEYS = {
    "prob_real": "discriminator/prob_real",
    "prob_fake": "discriminator/prob_fake",
    "active_units": "latent/active_units",
}


def rows(count: int = diagnostics.WINDOW, *, images: int = LATE, **values: float) -> list[dict[str, float]]:
    named = {KEYS.get(name, name.replace("_", "/")): value for name, value in values.items()}
    return [{"step": step, "images": images, **named} for step in range(1, count + 1)]


def names(found: list[diagnostics.Finding]) -> list[str]:
    return [finding.name for finding in found]


def test_diversity_is_the_mean_distance_of_pairs() -> None:
    images = torch.randn(7, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    pairs = [(images[i] - images[j]).square().mean().sqrt().item() for i in range(7) for j in range(i)]
    assert diagnostics.diversity(images) == pytest.approx(sum(pairs) / len(pairs), rel=1e-6)
    noise = torch.randn(64, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    assert diagnostics.diversity(noise) == pytest.approx(math.sqrt(2), rel=0.01)
    assert diagnostics.diversity(torch.ones(5, 1, 2, 2)) == 0


def test_healthy_game_gives_no_warning() -> None:
    good = rows(prob_real=0.7, prob_fake=0.25, samples_diversity=0.4)
    assert diagnostics.findings(good, {"r1_gamma": 1.0}) == []
    assert diagnostics.findings(rows(active_units=0.4, latent_kl=20.0), {}) == []
    assert diagnostics.findings([], {}) == []


def test_discriminator_that_has_won_for_a_while_is_told() -> None:
    won = rows(prob_real=0.99, prob_fake=0.01)
    (finding,) = diagnostics.findings(won, {"r1_gamma": 1.0, "augment": "none", "lr": 5e-4})
    assert finding.name == "discriminator has won"
    assert "D(real) is 0.99 and D(fake) 0.01" in finding.message
    assert "set --augment (now none), or raise --r1-gamma (now 1.0)" in finding.message
    assert diagnostics.findings(won[1:], {}) == []  # not sustained
    assert diagnostics.findings([*won[1:], *rows(1, prob_real=0.9, prob_fake=0.01)], {}) == []
    assert diagnostics.findings([*won[1:], *rows(1, prob_real=0.99, prob_fake=0.2)], {}) == []


def test_collapse_is_told_from_the_newest_sheet() -> None:
    (finding,) = diagnostics.findings(
        [*rows(1, samples_diversity=0.1), *rows(3, prob_real=0.6)], {"r1_gamma": 1.0, "lr": 0.1}
    )
    assert finding.message == (
        "collapse: the diversity of the samples is only 0.10 times that of real images; "
        "raise --r1-gamma (now 1.0), or lower --lr (now 0.1)"
    )
    assert diagnostics.findings([*rows(1, samples_diversity=0.1), *rows(1, samples_diversity=0.8)], {}) == []


def test_posterior_collapse_is_told_by_latents_or_by_their_nats() -> None:
    assert names(diagnostics.findings(rows(active_units=0.0, latent_kl=0.0), {"beta": 4.0})) == ["posterior collapse"]
    (finding,) = diagnostics.findings(rows(latent_kl=0.1), {"beta": 4.0, "kl_warmup": 0})
    assert "lower --beta (now 4.0), or raise --kl-warmup (now 0)" in finding.message


def test_nothing_is_judged_at_the_start() -> None:
    early = rows(prob_real=1.0, prob_fake=0.0, samples_diversity=0.0, active_units=0.0, images=diagnostics.WARM_UP - 1)
    assert diagnostics.findings(early, {}) == []


@pytest.mark.parametrize("family", ["vae", "gan", "dcgan", "wgan", "wgan_gp"])
@pytest.mark.parametrize("name", ["collapse", "discriminator has won", "posterior collapse"])
def test_advice_names_flags_that_the_family_has(family: str, name: str) -> None:
    options = find(family)(size=32).options
    flags = [
        word.removeprefix("--").replace("-", "_")
        for word in diagnostics.advice(name, options).split()
        if word.startswith("--")
    ]
    assert flags
    assert set(flags) <= options.keys()


def test_advice_without_options_still_says_something() -> None:
    assert diagnostics.advice("collapse", {}) == "try another --seed or a smaller model"


def test_warning_is_not_repeated_at_once() -> None:
    finding = diagnostics.Finding("collapse", "collapse: ...")
    assert diagnostics.news([finding], {}, 100, every=1000) == [finding]
    assert diagnostics.news([finding], {"collapse": 100}, 1099, every=1000) == []
    assert diagnostics.news([finding], {"collapse": 100}, 1100, every=1000) == [finding]
    assert diagnostics.news([finding], {"another": 100}, 200, every=1000) == [finding]


MEANS = {
    "discriminator/prob_real": 0.714,
    "discriminator/prob_fake": 0.236,
    "discriminator/real": 0.5,
    "discriminator/fake": 0.25,
    "discriminator/loss": 0.75,
    "discriminator/grad_norm": 9.0,
    "generator/adversarial": 1.5,
    "generator/loss": 1.5,
}


def tick(**changed: Any) -> progress.Tick:
    return progress.Tick(
        **{"step": 1200, "steps": 20000, "share": 0.06, "speed": 93.4, "left": 3725.0, "means": MEANS, **changed}
    )


def test_line_shows_pace_losses_and_probabilities() -> None:
    assert progress.line(tick()) == (
        "step 1,200/20,000  93 images/s  62 min left  discriminator 0.75  generator 1.5  D(real) 0.71  D(fake) 0.24"
    )
    assert progress.line(
        tick(
            means={"vae/kl": 20.0, "vae/reconstruction": 80.5, "vae/loss": 100.5, "latent/active_units": 0.25},
            left=None,
        )
    ) == ("step 1,200/20,000  93 images/s  kl 20  reconstruction 80.5  active units 25%")
    assert "0.43 images/s" in progress.line(tick(speed=0.432))


CRITIC = {
    "critic/real": -3.0,
    "critic/fake": -1.5,
    "critic/penalty": 0.25,
    "critic/loss": -4.25,
    "critic/grad_norm": 9.0,
    "critic/wasserstein": 4.512,
    "generator/adversarial": 1.5,
    "generator/loss": 1.5,
}


def test_line_shows_a_critics_distance() -> None:
    assert progress.line(tick(means=CRITIC, left=None)) == (
        "step 1,200/20,000  93 images/s  critic -4.25  generator 1.5  Wasserstein 4.51"
    )


def test_a_critics_distance_gives_no_warning() -> None:
    found = diagnostics.findings(
        [{"step": i, "images": LATE, **CRITIC, "critic/wasserstein": 99.0} for i in range(9)], {}
    )
    assert found == []
    (finding,) = diagnostics.findings(rows(1, samples_diversity=0.1), {"n_critic": 5, "lr": 5e-5})
    assert finding.message.endswith("raise --n-critic (now 5), or lower --lr (now 5e-05)")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (47.4, "47 s"), (91, "2 min"), (3600, "60 min"), (11100, "3 h 05 min")]
)
def test_duration_in_words(seconds: float, text: str) -> None:
    assert progress.duration(seconds) == text


def test_without_a_terminal_each_tick_is_one_line() -> None:
    stream = io.StringIO()
    with progress.open_display(stream) as shown:
        assert shown.every == 10
        shown.work("reading images", 5, 9)
        shown.work("reading images", 6, 9)
        shown.work("reading images", 9, 9)
        shown.tick(tick())
        shown.note("warning: [red]no markup[/red]")
    lines = stream.getvalue().splitlines()
    assert lines[:2] == ["reading images 5/9", "reading images 9/9"]
    assert lines[2].startswith("step 1,200/20,000")
    assert lines[3:] == ["warning: [red]no markup[/red]"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_a_bar_is_drawn_anew_and_the_cursor_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    stream = Terminal()
    with progress.open_display(stream) as shown:
        assert isinstance(shown, progress.Bar)
        shown.work("reading images", 5, 9)
        shown.tick(tick())
        shown.note("warning: [red]no markup[/red]")
        shown.tick(tick(step=1300))
    text = stream.getvalue()
    for expected in ("5/9", "step 1,200/20,000", "step 1,300/20,000", "D(real) 0.71  D(fake) 0.24", "[red]no markup"):
        assert expected in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
