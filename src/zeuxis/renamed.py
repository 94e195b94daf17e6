"""Old names of what is saved -> the names of today: runs, models and scores saved before a renaming are read by them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

T = TypeVar("T")

# In version 0.2 flags, options and metric keys took the terms of the field.
SETTINGS = {
    "parts": "micro_batches",
    "half_life": "ema_half_life",
    "core_minutes": "cpu_minutes",
    "mirror": "hflip",
    "limit": "max_images",
    "fit": "resize_mode",
    "evaluate_images": "evaluate_samples",
}
_R1 = {"r1": "r1_gamma", "r1_every": "r1_interval"}
_ADAPTIVE_R1 = {**_R1, "r1_aim": "r1_target"}
_WIDTH = {"width": "base_channels"}
_DECAY = {"decay_from": "lr_decay_start"}
_TRANSLATION = {"patch": "receptive_field", "jitter": "jitter_scale", "enlarge": "jitter_mode"}
OPTIONS: dict[str, dict[str, str]] = {
    "vae": {**_WIDTH, "warmup": "kl_warmup"},
    "gan": {"width": "hidden_dim", **_R1},
    "dcgan": {**_WIDTH, **_DECAY, **_ADAPTIVE_R1},
    "wgan": {**_WIDTH, "clip": "clip_value", "critic_steps": "n_critic"},
    "wgan_gp": {**_WIDTH, "penalty": "gp_weight", "critic_steps": "n_critic"},
    "progan": {**_WIDTH, **_DECAY, **_R1, "stage": "images_per_stage", "penalty": "gp_weight"},
    "stylegan2": {
        **_WIDTH,
        **_DECAY,
        **_R1,
        "path": "path_length_weight",
        "path_every": "path_length_interval",
        "mixing": "style_mixing_prob",
        "noise": "noise_injection",
        "ada": "ada_target",
    },
    "pix2pix": {**_WIDTH, **_ADAPTIVE_R1, **_TRANSLATION, "l1": "l1_weight", "adversary": "gan_weight"},
    "cyclegan": {
        **_WIDTH,
        **_TRANSLATION,
        "cycle": "cycle_weight",
        "identity": "identity_weight",
        "pool": "pool_size",
    },
    "srgan": {
        **_WIDTH,
        "kernel": "kernel_size",
        "bicubic": "bicubic_skip",
        "pretrain": "pretrain_steps",
        "adversary": "gan_weight",
        "perceptual": "vgg_weight",
        "block": "vgg_block",
        "vgg": "vgg_file",
        "square": "mse_weight",
        "turn": "rotate90",
    },
    "diffusion": {
        **_WIDTH,
        **_DECAY,
        "patch": "patch_size",
        "warmup": "lr_warmup",
        "classes": "num_classes",
        "guidance": "guidance_scale",
    },
    "rbm": {"greys": "binarize", "half_after": "lr_half_life", "warmest": "min_beta"},
}
# Options that came later, and what a family did before it had them.
_PLAIN = {"augment": "none", "ada_target": 0.6, "freeze_layers": 0}
_DOUBLING = {"max_channels": 65536}  # at every size
BEFORE: dict[str, dict[str, Any]] = {
    "vae": _DOUBLING,
    "gan": _PLAIN,
    "wgan": {**_PLAIN, **_DOUBLING},
    "wgan_gp": {**_PLAIN, **_DOUBLING},
    "progan": {**_PLAIN, "growth_start": 0},
    "dcgan": {"ada_target": 0.6, "freeze_layers": 0, "detail_gain": 1.0, **_DOUBLING},
    "stylegan2": {"augment": "ada", "freeze_layers": 0},
    "diffusion": {"augment": "none", "score_scale": 1.0},
}
# Options and settings whose values have other names too.
VALUES: dict[str, dict[str, str]] = {
    "resize_mode": {"cuts": "tiles"},
    "jitter_mode": {"padding": "reflect", "resizing": "resize"},
    "binarize": {"drawn": "stochastic", "chances": "probabilities", "halved": "threshold"},
}
EVENTS = "tensorboard"  # was a setting; now the name of a logger
PRESET = "textbook"  # was an option of four families; what it set is saved with the others
METRICS = {
    "verdict/real": "discriminator/prob_real",
    "verdict/fake": "discriminator/prob_fake",
    "restraint/share": "discriminator/r1_scale",
    "distance/critic": "critic/wasserstein",
    "generator/fool": "generator/adversarial",
    "generators/fool image": "generators/adversarial image",
    "generators/fool source": "generators/adversarial source",
    "generator/square": "generator/mse",
    "generator/features": "generator/vgg",
    "rbm/gap": "rbm/free_energy_gap",
    "denoiser/error": "denoiser/mse",
    "latent/active": "latent/active_units",
    "augmentation/probability": "ada/p",
    "growth/level": "growth/stage",
}
SCORES = {"copies (share of samples)": "memorization rate"}  # of an evaluation
_NORM, _OLD_NORM = "/grad_norm", "/gradient"
# Of the weights of a family, and of what training keeps with them: patterns of names, and what stands there today.
TENSORS: dict[str, tuple[tuple[str, str], ...]] = {
    "dcgan": ((r"^restraint\.share$", "adaptive_r1.scale"),),
    "pix2pix": ((r"^restraint\.share$", "adaptive_r1.scale"),),
    "stylegan2": ((r"^mapping\.", "mapping_network."),),
    "diffusion": ((r"\.told\.", ".embedding."),),
}


def config(values: Mapping[str, Any]) -> dict[str, Any]:
    """What a run's config.yaml says, in the names of today; what is not as expected there is left as it is."""
    found = dict(values)
    if isinstance(settings := found.get("settings"), dict):
        found["settings"] = _logged(_renamed(settings, SETTINGS))
    if isinstance(chosen := found.get("options"), dict):
        found["options"] = options(str(found.get("family")), chosen)
    if isinstance(data := found.get("data"), str):
        found["data"] = re.sub(r"\bphotos\.cuts\b", "photos.tiles", data)
    return found


def options(family: str, values: Mapping[Any, Any]) -> dict[Any, Any]:
    """Options of a family as they were saved, in the names of today; those that came later as they were before."""
    named = {name: value for name, value in values.items() if name != PRESET}
    found = _renamed(named, OPTIONS.get(family, {}))
    # In the order that they were saved in: a checkpoint after a resume has the bytes of one without.
    return found | {name: value for name, value in BEFORE.get(family, {}).items() if name not in found}


def typed(family: str | None, values: Mapping[str, Any]) -> dict[str, Any]:
    """Options and settings of a list that a person wrote (`--config`), in the names of today."""
    found = _logged(_renamed(values, {**SETTINGS, **OPTIONS.get(family or "", {})}))
    if str(found.pop(PRESET, False)).lower() == "true":
        found.setdefault("preset", "paper")
    return found


def metrics(row: Mapping[str, T]) -> dict[str, T]:
    """A row of metrics, or running sums by name, in the names of today."""
    old = not any(name.endswith(_NORM) for name in row)  # else `gradient` is a term of the family's own
    return {_metric(name, old): value for name, value in row.items()}


def tensors(family: str, values: Mapping[str, T]) -> dict[str, T]:
    """Weights of a family by name, in the names of today."""
    found = dict(values)
    for pattern, new in TENSORS.get(family, ()):
        found = {re.sub(pattern, new, name): value for name, value in found.items()}
    return found


def tensors_before(family: str, values: Mapping[str, T]) -> dict[str, T]:
    """Weights of a family by name, in the names they had before: digests that were stored then are over those."""
    found = dict(values)
    for pattern, new in reversed(TENSORS.get(family, ())):
        start, end = "^" * pattern.startswith("^"), "$" * pattern.endswith("$")
        old = re.sub(r"[\^$\\]", "", pattern)
        found = {re.sub(f"{start}{re.escape(new)}{end}", old, name): value for name, value in found.items()}
    return found


def _metric(name: str, old: bool) -> str:
    if old and name.endswith(_OLD_NORM):
        return name.removesuffix(_OLD_NORM) + _NORM
    return METRICS.get(name, name)


def _renamed(values: Mapping[Any, Any], names: Mapping[str, str]) -> dict[Any, Any]:
    found = {names.get(name, name): value for name, value in values.items()}
    return {name: _value(VALUES.get(name, {}), value) for name, value in found.items()}


def _logged(settings: dict[Any, Any]) -> dict[Any, Any]:
    """Settings whose TensorBoard switch, of before there were loggers, has become their list."""
    if EVENTS in settings:
        wanted = str(settings.pop(EVENTS)).lower() == "true"
        settings.setdefault("logger", [EVENTS] if wanted else [])
    return settings


def _value(names: Mapping[str, str], value: Any) -> Any:
    return names.get(value, value) if isinstance(value, str) else value
