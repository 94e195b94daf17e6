"""Charts of training: axes and their ticks, smoothing, which metrics have a panel, and what is drawn where."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from zeuxis.charts.axes import Axis, axis_of, tick_text
from zeuxis.charts.curves import curves_figure
from zeuxis.charts.histories import History, panels_of
from zeuxis.charts.lettering import RUN_COLOURS, text_width, tint, wrapped
from zeuxis.charts.panels import PanelStyle, draw_panel
from zeuxis.charts.smoothing import UNSMOOTHED, smoothed
from zeuxis.errors import UsageError

NUMBERS = st.floats(-1e30, 1e30, allow_nan=False)
FID = "evaluation/FID[lite0]"


def history(rows: list[dict[str, Any]], name: str = "00001-a") -> History:
    return History(name, "", [{"images": 8 * row["step"], **row} for row in rows])


def flat(steps: int = 40, **terms: float) -> History:
    """A run whose terms do not change; `a__b` is the term b of the player a."""
    named = {name.replace("__", "/"): value for name, value in terms.items()}
    return history([{"step": step, **named} for step in range(1, steps + 1)])


def near(picture: Image.Image, colour: tuple[int, int, int], within: int = 12) -> np.ndarray[Any, Any]:
    """Which pixels have a colour."""
    return np.asarray((np.abs(np.asarray(picture).astype(int) - colour) <= within).all(2))


@given(NUMBERS, NUMBERS, st.integers(3, 6))
def test_ticks_are_round_few_and_within(one: float, other: float, most: int) -> None:
    axis = axis_of(np.array([one, other]))
    ticks = axis.ticks(most)
    assert 1 <= len(ticks) <= most and ticks == sorted(set(ticks))
    edge = 1e-6 * (axis.high - axis.low)
    assert axis.low - edge <= ticks[0] and ticks[-1] <= axis.high + edge
    assert all(tick_text(tick) for tick in ticks)


@given(st.floats(1e-9, 1e9), st.floats(31, 1e12), st.integers(3, 6))
def test_values_over_orders_have_a_logarithmic_axis(low: float, ratio: float, most: int) -> None:
    axis = axis_of(np.array([low, low * ratio]))
    assert axis.log and 0 < axis.low < low < low * ratio < axis.high
    assert 1 <= len(axis.ticks(most)) <= most
    assert axis.places([axis.low, math.sqrt(axis.low * axis.high), axis.high]) == pytest.approx([0, 0.5, 1])


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1500, "1500"), (20_000, "20k"), (2_500_000, "2.5M"), (0.05, "0.05"), (1e-5, "1e-5"), (-3, "-3")],
)
def test_ticks_as_text(value: float, text: str) -> None:
    assert tick_text(value) == text


def test_smoothing_keeps_what_is_smooth_and_does_not_lag() -> None:
    x = np.linspace(0, 100, 401)
    at, constant = smoothed(x, np.full(401, 3.0), 2.0)
    assert at[0] == 0 and at[-1] == 100 and constant == pytest.approx(3.0)
    _, line = smoothed(x, 2 * x, 2.0)
    inside = (at > 8) & (at < 92)
    assert line[inside] == pytest.approx(2 * at[inside], rel=1e-3)
    _, step = smoothed(x, (x > 50).astype(float), 2.0)
    assert at[np.abs(step - 0.5).argmin()] == pytest.approx(50, abs=0.5)
    noise = np.random.default_rng(0).normal(size=401)
    assert smoothed(x, noise, 2.0)[1].std() < 0.35 * noise.std()


def test_smoothing_does_not_see_how_dense_the_rows_are() -> None:
    even = np.linspace(0, 100, 101)
    dense = np.unique(np.concatenate([even, np.linspace(0, 10, 400)]))
    one, other = (smoothed(x, np.sin(x / 10), 3.0)[1] for x in (even, dense))
    assert one == pytest.approx(other, abs=0.02)


def test_few_values_are_not_smoothed() -> None:
    x = np.arange(float(UNSMOOTHED))
    assert smoothed(x, x**2, 5.0)[1] is not None and np.array_equal(smoothed(x, x**2, 5.0)[1], x**2)
    more = np.arange(200.0)
    assert np.array_equal(smoothed(more, more**2, 0.0)[1], more**2)


def titles(run: History, **how: Any) -> list[str]:
    return [panel.title for panel in panels_of([run], **how)]


def test_each_loss_term_has_a_panel_and_details_wait_to_be_asked_for() -> None:
    row = {
        "discriminator/fake": 1.0,
        "discriminator/grad_norm": 1.0,
        "discriminator/loss": 1.0,
        "discriminator/prob_fake": 0.2,
        "discriminator/prob_real": 0.8,
        "discriminator/real": 1.0,
        "generator/adversarial": 1.0,
        "generator/loss": 1.0,
        "samples/diversity": 0.9,
        FID: 9.0,
        f"{FID} low": 8.0,
        f"{FID} high": 10.0,
        f"{FID} real": 1.0,
        "evaluation/KID[lite0]": 0.1,
    }
    run = history([{"step": 1, **row}])
    usual = ["discriminator: loss", "discriminator: fake", "discriminator: real", "generator: adversarial"]
    usual += ["D(real)", "D(fake)", "diversity of samples", "FID (lite0)"]
    assert titles(run) == usual
    assert set(titles(run, every=True)) == {*usual, "discriminator: grad norm", "KID (lite0)"}
    fid = panels_of([run])[-1]
    assert fid.level == (1.0, "training images") and not fid.smooth
    assert fid.curves[0].low == pytest.approx([8.0]) and fid.curves[0].high == pytest.approx([10.0])


def test_several_discriminators_are_told_apart() -> None:
    sides = [f"discriminators/prob_{end} {side}" for side in ("image", "source") for end in ("fake", "real")]
    run = history([{"step": 1, "one/prob_real": 0.5, **dict.fromkeys(sides, 0.5)}])
    assert titles(run) == ["D(real), one", "D(real), image", "D(fake), image", "D(real), source", "D(fake), source"]


def test_places_are_steps_or_images() -> None:
    run = history([{"step": 1, "a/loss": 2.0}, {"step": 3, "a/loss": 4.0}, {"step": 5, "b": 1.0}])
    assert panels_of([run])[0].curves[0].x == pytest.approx([1, 3])
    assert panels_of([run], against="images")[0].curves[0].x == pytest.approx([8, 24])
    assert (run.last("steps"), run.last("images")) == (5, 40)


def test_very_many_rows_are_thinned_but_for_scores() -> None:
    rows = [{"step": step, "a/loss": 1.0, **({FID: 1.0} if step % 999 == 0 else {})} for step in range(1, 20_001)]
    loss, fid = panels_of([history(rows)])
    assert len(loss.curves[0].x) < 5000 and loss.curves[0].x[-1] == 20_000
    assert len(fid.curves[0].x) == 20


def test_a_panel_draws_its_curve_where_its_values_are() -> None:
    """A probability of 0.5 crosses the middle; its raw values would be faint behind it."""
    (panel,) = panels_of([flat(discriminator__prob_real=0.25)])
    canvas = Image.new("RGB", (300, 200), "white")
    style = PanelStyle((300, 200), [(0, 0, 255)], Axis(0, 40), 0.02)
    draw_panel(canvas, (0, 0), panel, style)
    rows = np.flatnonzero(near(canvas, (0, 0, 255)).sum(1) > 200)
    top, bottom = 32, 200 - 24  # of the field
    assert 1 <= len(rows) <= 3
    assert rows.mean() == pytest.approx(bottom - 0.25 / 1.03 * (bottom - top), abs=1.5)


def test_a_placed_panel_says_where_its_values_are() -> None:
    (panel,) = panels_of([flat(discriminator__prob_real=0.25)])
    canvas = Image.new("RGB", (300, 200), "white")
    style = PanelStyle((300, 200), [(0, 0, 255)], Axis(0, 40), 0.02, strength=0.2, newest=False)
    placed = draw_panel(canvas, (0, 0), panel, style)
    assert not near(canvas, (0, 0, 255)).any() and near(canvas, tint((0, 0, 255), 0.2), 16).any()
    x, y = placed.field.point(20.0, 0.25)
    assert x == pytest.approx(46 + (300 - 46) / 2) and near(canvas, tint((0, 0, 255), 0.2), 16)[round(y), round(x)]
    assert placed.title_end == (300, 0)


def test_the_interval_of_fid_is_a_band() -> None:
    rows = [{"step": step, FID: 50.0, f"{FID} low": 40.0, f"{FID} high": 60.0} for step in (10, 20)]
    (panel,) = panels_of([history(rows)])
    canvas = Image.new("RGB", (300, 200), "white")
    draw_panel(canvas, (0, 0), panel, PanelStyle((300, 200), [(255, 0, 0)], Axis(0, 20), 0.02))
    column = near(canvas, tint((255, 0, 0), 0.18), 4)[:, 250]
    assert column.sum() > 80  # 40 to 60 are nearly all of the axis


def test_each_run_has_its_colour_and_its_name() -> None:
    runs = [History(f"0000{i}-run", "", flat(vae__kl=1.0 + i, vae__loss=2.0).rows) for i in range(1, 4)]
    picture = curves_figure(runs)
    for colour in RUN_COLOURS[:3]:
        found = near(picture, colour)
        assert found[:60].any() and found[60:].sum() > 300  # in the legend, and in the panel
    assert not near(picture, RUN_COLOURS[3]).any()
    assert curves_figure(runs).tobytes() == picture.tobytes()


def test_a_figure_of_too_many_runs_or_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="13 runs; a figure has room for 12"):
        curves_figure([flat(a__loss=1.0)] * 13)
    with pytest.raises(UsageError, match="00001-a: no row of metrics yet"):
        curves_figure([history([{"step": 1}])])
    with pytest.raises(UsageError, match="no row of metrics yet"):
        curves_figure([History("00001-a", "", [])])


VALUES = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**63), 2**63))
ROWS = st.lists(
    st.fixed_dictionaries(
        {"step": st.integers(0, 2**40)},
        optional=dict.fromkeys(("a/loss", "a/b", "d/prob_real", FID, f"{FID} low", f"{FID} high", "x\ny"), VALUES),
    ),
    max_size=40,
)


@settings(max_examples=25, deadline=None)
@given(ROWS)
def test_whatever_the_rows_hold_there_is_a_figure_or_one_line(rows: list[dict[str, Any]]) -> None:
    try:
        assert curves_figure([history(rows)]).width > 300
    except UsageError as error:
        assert "no row of metrics yet" in str(error)


@given(st.text(max_size=80), st.integers(40, 300))
def test_wrapped_text_stays_within_its_width(text: str, width: int) -> None:
    lines = wrapped(text, 15, width)
    assert " ".join(lines).split() == text.split()
    assert all(text_width(line, 15) <= width or " " not in line for line in lines)
