"""The sum that the view Arithmetic begins with: the lecture's where the data have its words, else of two attributes."""

from __future__ import annotations

import pytest
import torch

from zeuxis.explore.candidates import Candidates
from zeuxis.explore.expression import Vocabulary
from zeuxis.web.labelled import OF_EACH_TERM, LabelledSamples, first_sum

FACES = (("woman", "man"), ("smiling", "neutral"), ("glasses", "no glasses"))


def labelled(names: tuple[tuple[str, str], ...], *, source: str = "seed", exclusive: bool = False) -> LabelledSamples:
    """Forty latents of each combination of the attributes; latent i is i everywhere."""
    rows = torch.cartesian_prod(*[torch.tensor([0.05, 0.95])] * len(names)).repeat(40, 1)
    latents = torch.arange(len(rows), dtype=torch.float32)[:, None].expand(-1, 4)
    origins = 1000 + torch.arange(len(rows))
    return LabelledSamples(Vocabulary(names, exclusive=exclusive), Candidates(latents, rows, origins, source))


def test_faces_have_the_sum_of_the_lecture() -> None:
    found = labelled(FACES)
    reply = first_sum(found)
    assert reply.fields["names"] == ["smiling woman", "neutral woman", "neutral man"] and reply.numbers is None
    wanted = [{0: True, 1: True}, {0: True, 1: False}, {0: False, 1: False}]
    for seeds, attributes in zip(reply.fields["seeds"], wanted):
        assert len(seeds) == OF_EACH_TERM == len(set(seeds))
        for index, present in attributes.items():
            assert ((found.among.labels[torch.tensor(seeds) - 1000, index] > 0.5) == present).all()


def test_of_encoded_images_the_means_are_given() -> None:
    reply = first_sum(labelled(FACES, source="image"))
    assert "seeds" not in reply.fields and tuple(reply.numbers.shape) == (3, 4)  # type: ignore[union-attr]


def test_other_attributes_are_combined() -> None:
    reply = first_sum(labelled((("striped", ""), ("red", ""))))
    assert reply.fields["names"] == ["striped, red", "no striped, red", "no striped, no red"]


@pytest.mark.parametrize("why", ["classes", "alike", "one"])
def test_without_two_attributes_there_is_none(why: str) -> None:
    found = labelled(FACES, exclusive=True) if why == "classes" else labelled((("striped", ""), ("red", "")))
    if why == "alike":
        found.among.labels[:, 1] = found.among.labels[:, 0]
    if why == "one":
        found = LabelledSamples(Vocabulary((("striped", ""),)), found.among)
    assert first_sum(found).fields == {"names": []}
