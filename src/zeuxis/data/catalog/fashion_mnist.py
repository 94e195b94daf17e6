"""Clothes in 10 classes: 60,000 and 10,000 grey images of 28x28 pixels (Xiao 2017, https://arxiv.org/abs/1708.07747; MIT)."""

from __future__ import annotations

from zeuxis.data import downloads, idx
from zeuxis.data.catalog._dataset import Dataset
from zeuxis.data.listing import Content, Listing

_CLASSES = ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"]
_PREFIX = {"train": "train", "test": "t10k"}
_SUMS = {
    "train-images-idx3-ubyte.gz": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte.gz": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte.gz": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte.gz": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
_ORIGINS = [
    downloads.web("https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/", list(_SUMS)),
    downloads.web("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/", list(_SUMS)),
    downloads.debian("dataset-fashion-mnist", "usr/share/datasets/fashion-mnist", list(_SUMS)),
]
_HINT = "connect to the web, or give the path of its IDX file"


def _listing(split: str, count: int | None) -> Listing:
    """The images of a split, or the first of them."""

    def gather() -> Content:
        found = downloads.fetched("fashion-mnist", _SUMS, _ORIGINS, hint=_HINT)
        pixels, labels = (
            idx.parse_idx(found[f"{_PREFIX[split]}-{kind}-ubyte.gz"], kind) for kind in ("images-idx3", "labels-idx1")
        )
        return idx.content_of(pixels[:count], labels[:count], "fashion-mnist", classes=_CLASSES)

    name = "fashion-mnist" if split == "train" else f"fashion-mnist-{split}"
    return Listing(name, f"fashion-mnist 1 {split} {count}", gather)


FASHION_MNIST = Dataset(28, 1, _listing)
