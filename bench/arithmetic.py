"""How often latent arithmetic works, by number averaged, balance and length: the study behind its defaults.

    python bench/arithmetic.py runs/00001-dcgan-avatars [--data avatars] [--triples 100] [--all]

prints one line per setting for both expressions of the lecture: the share of random choices of examples that give what
was asked, and how much else changed. `--all` varies balance and length too.
"""

from __future__ import annotations

import argparse
import itertools

from zeuxis import explore, loading
from zeuxis.data import DataSpec
from zeuxis.explore.arithmetic import LENGTH, score_arithmetic
from zeuxis.metrics.attributes import reader_for
from zeuxis.model import Latent

EXPRESSIONS = (
    "smiling woman - neutral woman + neutral man",
    "man with glasses - man without glasses + woman without glasses",
)
AVERAGES = (1, 3, 10, 30, 100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--data", default="avatars")
    parser.add_argument("--triples", type=int, default=100)
    parser.add_argument("--all", action="store_true")
    arguments = parser.parse_args()

    model = loading.load_model(arguments.model)
    if not isinstance(model, Latent):
        parser.error(f"{arguments.model} has no latent space")
    pack = DataSpec.parse(arguments.data).open(model.size, model.channels)
    reader = reader_for(pack, progress=print)
    words = explore.vocabulary(pack.attributes, pack.classes)
    among = explore.candidates(model, pack, reader=reader)
    balances, lengths = ((True, False), (1.0, LENGTH, 0.5, None)) if arguments.all else ((True,), (LENGTH,))
    print("balance length average | as asked, other attributes changed: for each expression")
    for balance, length, average in itertools.product(balances, lengths, AVERAGES):
        found = [
            score_arithmetic(
                model,
                explore.parse_terms(text, words),
                words=words,
                candidates=among,
                reader=reader,
                average=average,
                triples=arguments.triples,
                balance=balance,
                length=length,
            )
            for text in EXPRESSIONS
        ]
        shares = [
            f"{100 * one.target:3.0f} %, {100 * sum(one.changed.values()) / len(one.changed):2.0f} %" for one in found
        ]
        print(f"{balance!s:7} {length or '-':<6} {average:7} | {'   '.join(shares)}", flush=True)


if __name__ == "__main__":
    main()
