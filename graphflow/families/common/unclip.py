"""unCLIP variants of Stable Diffusion 2.1: what an image encoder saw, with noise on it, joins the time's embedding."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from graphflow.families.common.base import Call

if TYPE_CHECKING:
    from torch import Tensor, nn

LEVELS = 1000
MERGED = 0.05
"""Share of the noise levels that several pictures' sum is given."""
STATISTICS = (
    ("noise_augmentor.data_mean", "noise_augmentor.data_std"),
    ("image_normalizer.mean", "image_normalizer.std"),
)
"""Where checkpoints and diffusers folders keep the mean and spread of the image encoder's embeddings."""


def finish(unet: nn.Module, read: Callable[[str], Tensor | None]) -> None:
    """Gives the network the statistics from the rest of its file, where it takes pictures."""
    import torch

    module: Any = unet
    if module.config.class_embed_type != "projection":
        return
    found = next(
        ((m, s) for m, s in ((read(a), read(b)) for a, b in STATISTICS) if m is not None and s is not None), None
    )
    width = module.config.projection_class_embeddings_input_dim // 2
    mean, spread = found or (torch.zeros(width), torch.ones(width))
    module.unclip_statistics = (mean.float().flatten(), spread.float().flatten())


def labels(unet: nn.Module, call: Call) -> Tensor | None:
    """(N, 2 P) for networks that take pictures, zeros for rows without any; None for other networks."""
    import torch

    module: Any = unet
    if module.config.class_embed_type != "projection":
        return None
    width = module.config.projection_class_embeddings_input_dim
    rows = [_row(module.unclip_statistics, cond.unclip, width, n) for cond, n in call.conds]
    return torch.cat(rows).to(call.x)


def _row(statistics: tuple[Tensor, Tensor], pictures: Any, width: int, count: int) -> Tensor:
    import torch

    made = []
    for embeds, strength, augmentation in pictures:
        if 2 * embeds.shape[-1] != width:
            raise ValueError(
                f"this unCLIP model takes image embeddings of {width // 2}, the image encoder gave {embeds.shape[-1]}: use "
                "the image encoder in its own checkpoint (unCLIPCheckpointLoader)"
            )
        made.append(augmented(embeds.float().cpu(), round((LEVELS - 1) * augmentation), statistics) * strength)
    if not made:
        return torch.zeros(count, width)
    total = torch.stack(made).sum(0)
    if len(made) > 1:
        total = augmented(total[:, : width // 2], round((LEVELS - 1) * MERGED), statistics)
    return total


def augmented(embeds: Tensor, level: int, statistics: tuple[Tensor, Tensor]) -> Tensor:
    """(B, P) to (B, 2 P): the embeddings, noised under a squared-cosine schedule, and the level's own embedding.

    The noise is the same for every call, so that one conditioning means one thing during a whole sampling.
    """
    import torch
    from diffusers.models.embeddings import get_timestep_embedding

    from graphflow.diffusion.parametrisation import Discrete

    mean, spread = statistics
    sigma = float(Discrete(LEVELS, beta_schedule="squaredcos_cap_v2").table[level])
    noise = torch.randn(embeds.shape, generator=torch.Generator().manual_seed(level))
    noised = ((embeds - mean) / spread + sigma * noise) / (sigma**2 + 1) ** 0.5
    time = get_timestep_embedding(torch.tensor([level]), embeds.shape[1], flip_sin_to_cos=True, downscale_freq_shift=0)
    return torch.cat([noised * spread + mean, time.expand(len(embeds), -1)], dim=1)
