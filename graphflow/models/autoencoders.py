"""The kinds of autoencoders: how they are built, read from files, and what their latents are."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from graphflow.detect import Header, count
from graphflow.errors import UnsupportedFile
from graphflow.layouts import Entry, Layout, ldm_vae
from graphflow.models.vae import VaeContent

CLASSES: Mapping[str, str] = {
    "kl": "AutoencoderKL", "tiny": "AutoencoderTiny", "wan": "AutoencoderKLWan", "dc": "AutoencoderDC",
    "flux2": "AutoencoderKLFlux2",
}  # fmt: skip
UNKNOWN: Mapping[str, tuple[str, ...]] = {"tiny": ("block_out_channels",)}
"""Keys that a kind's saved config has and its class does not take."""


def kind_of(found: str, header: Header, config: Mapping[str, Any]) -> str:
    """`flux2` for those whose latents are normalised by statistics in the file, else as detected."""
    return "flux2" if "bn.running_mean" in header.tensors else found


def build(kind: str, config: Mapping[str, Any]) -> nn.Module:
    """diffusers' class for a kind."""
    import diffusers

    plain = {key: value for key, value in config.items() if key not in UNKNOWN.get(kind, ())}
    if "input_channels" in plain:  # Qwen-Image's class names what Wan's calls in_channels
        plain["in_channels"] = plain.pop("input_channels")
    return getattr(diffusers, CLASSES[kind]).from_config(plain)  # type: ignore[no-any-return]


def content(kind: str, module: nn.Module, dtype: torch.dtype, config: Mapping[str, Any], family: str) -> VaeContent:
    """The autoencoder with what is to be known of its latents."""
    if kind == "wan":
        z = int(config.get("z_dim", 16))
        return VaeContent(module, dtype, int(config.get("scale_factor_spatial") or 8), z, temporal=4, dims=3)
    if kind == "flux2":
        return VaeContent(Patched(module), dtype, 2 * _halvings(config), 4 * int(config["latent_channels"]))
    return VaeContent(module, dtype, _halvings(config), int(config["latent_channels"]))


def _halvings(config: Mapping[str, Any]) -> int:
    """Pixels of the picture to one of the latent."""
    channels = config.get("block_out_channels") or config.get("encoder_block_out_channels") or ()
    return int(2 ** (len(channels) - 1))


class Patched(nn.Module):
    """Flux 2's autoencoder with the last steps of its latents: squares of four as one, normalised per channel."""

    def __init__(self, autoencoder: nn.Module) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def encode(self, x: Tensor, return_dict: bool) -> tuple[Tensor]:
        """(B, 3, H, W) -> (B, 4 c, H / 16, W / 16)."""
        autoencoder: Any = self.autoencoder
        z = autoencoder.encode(x).latent_dist.mode()
        n, c, h, w = z.shape
        z = z.reshape(n, c, h // 2, 2, w // 2, 2).permute(0, 1, 3, 5, 2, 4).reshape(n, c * 4, h // 2, w // 2)
        mean, std = self._statistics(z)
        return ((z - mean) / std,)

    def decode(self, z: Tensor, return_dict: bool) -> tuple[Tensor]:
        """The inverse."""
        autoencoder: Any = self.autoencoder
        mean, std = self._statistics(z)
        n, c, h, w = z.shape
        z = (z * std + mean).reshape(n, c // 4, 2, 2, h, w).permute(0, 1, 4, 2, 5, 3).reshape(n, c // 4, h * 2, w * 2)
        return (autoencoder.decode(z, return_dict=False)[0],)

    def _statistics(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """On z's device: a layer that nobody calls does not come there by itself."""
        autoencoder: Any = self.autoencoder
        mean, variance = autoencoder.bn.running_mean.to(z.device), autoencoder.bn.running_var.to(z.device)
        return mean[:, None, None], (variance + autoencoder.config.batch_norm_eps).sqrt()[:, None, None]


# --- configs from shapes ---------------------------------------------------------------------------------------------


def config(kind: str, header: Header) -> dict[str, Any]:
    """By the shapes of a file in the original layout. Raises `UnsupportedFile` where they do not say enough."""
    if kind == "kl" and "encoder.down.0.block.0.conv1.weight" in header.tensors:
        return _kl(header)
    if kind == "wan" and "decoder.middle.0.residual.0.gamma" in header.tensors:
        return _wan(header)
    if kind == "tiny":
        return _tiny(header)
    raise UnsupportedFile(f"{header.path.name}: this kind of VAE needs its config in {header.path.stem}.config/vae")


def _kl(header: Header) -> dict[str, Any]:
    levels = count(header, "encoder.down.{}.")
    channels = [header.shape(f"encoder.down.{n}.block.0.conv1.weight")[0] for n in range(levels)]
    return {
        "in_channels": header.shape("encoder.conv_in.weight")[1],
        "out_channels": header.shape("decoder.conv_out.weight")[0],
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "block_out_channels": channels,
        "layers_per_block": count(header, "encoder.down.0.block.{}."),
        "latent_channels": header.shape("decoder.conv_in.weight")[1],
        "norm_num_groups": 32 if channels[0] % 32 == 0 else 16,
        "use_quant_conv": "quant_conv.weight" in header.tensors,
        "use_post_quant_conv": "post_quant_conv.weight" in header.tensors,
    }


def _wan(header: Header) -> dict[str, Any]:
    base, channels = header.shape("encoder.conv1.weight")[:2]
    found = {"base_dim": base, "z_dim": header.shape("conv2.weight")[0]}
    if "encoder.downsamples.0.downsamples.0.residual.0.gamma" not in header.tensors:
        return found
    levels = count(header, "encoder.downsamples.{}.")
    steps = [f"encoder.downsamples.{n}.downsamples.{_blocks(header, n)}.time_conv.weight" for n in range(levels - 1)]
    return {
        **found,
        "decoder_base_dim": header.shape("decoder.head.2.weight")[1],
        "num_res_blocks": _blocks(header, 0),
        "temperal_downsample": [step in header.tensors for step in steps],
        "is_residual": True,
        "in_channels": channels,
        "out_channels": channels,
        "patch_size": math.isqrt(channels // 3),
        "scale_factor_spatial": 8 * math.isqrt(channels // 3),
    }


def _blocks(header: Header, level: int) -> int:
    """How many residual blocks a level of Wan 2.2's encoder has."""
    return sum(f"encoder.downsamples.{level}.downsamples.{n}.residual.0.gamma" in header.tensors for n in range(8))


def _tiny(header: Header) -> dict[str, Any]:
    latent = header.shape("decoder.layers.0.weight")[1]
    return {"latent_channels": latent, "encoder_block_out_channels": [64] * 4, "decoder_block_out_channels": [64] * 4}


# --- layouts ---------------------------------------------------------------------------------------------------------

_WAN = (
    (r"(en|de)coder\.mid_block\.attentions\.0", r"\1coder.middle.1"),
    (r"(en|de)coder\.conv_in", r"\1coder.conv1"),
    (r"(en|de)coder\.norm_out", r"\1coder.head.0"),
    (r"(en|de)coder\.conv_out", r"\1coder.head.2"),
    (r"^quant_conv", "conv1"),
    (r"^post_quant_conv", "conv2"),
    (r"encoder\.down_blocks", "encoder.downsamples"),
    (r"\.norm1\.", ".residual.0."),
    (r"\.conv1\.(?=weight|bias)", ".residual.2."),
    (r"\.norm2\.", ".residual.3."),
    (r"\.conv2\.", ".residual.6."),
    (r"\.conv_shortcut\.", ".shortcut."),
)


def wan_vae(names: Iterable[str]) -> list[Entry]:
    """Wan 2.1's autoencoder, which is Qwen-Image's, too: one list of blocks a side; and 2.2's, with lists of lists."""
    all_names = list(names)
    nested = any(".downsampler." in name for name in all_names)
    each = {side: 1 + max((int(m[1]) for name in all_names if (m := re.match(rf"{side}.*?_blocks\.0\.resnets\.(\d)", name))), default=0)
            for side in ("encoder", "decoder")}  # fmt: skip
    return [Entry(_wan_name(_in_lists(name, each) if nested else name), (name,)) for name in all_names]


def _in_lists(name: str, each: Mapping[str, int]) -> str:
    """A name of Wan 2.2's blocks, as far as it differs from 2.1's; `each` says how many residual blocks a level has."""
    for side, blocks, lists in (("encoder", "down_blocks", "downsamples"), ("decoder", "up_blocks", "upsamples")):
        start = rf"{side}\.{blocks}\.(\d)"
        name = re.sub(rf"{start}\.resnets\.(\d)", rf"{side}.{lists}.\1.{lists}.\2", name)
        name = re.sub(rf"{start}\.(?:down|up)sampler\.", rf"{side}.{lists}.\1.{lists}.{each[side]}.", name)
    return name


def _wan_name(name: str) -> str:
    theirs = re.sub(r"(en|de)coder\.mid_block\.resnets\.(\d)", lambda m: f"{m[1]}coder.middle.{2 * int(m[2])}", name)
    theirs = re.sub(
        r"decoder\.up_blocks\.(\d)\.resnets\.(\d)", lambda m: f"decoder.upsamples.{4 * int(m[1]) + int(m[2])}", theirs
    )
    theirs = re.sub(
        r"decoder\.up_blocks\.(\d)\.upsamplers\.0", lambda m: f"decoder.upsamples.{4 * int(m[1]) + 3}", theirs
    )
    for pattern, replacement in _WAN:
        if pattern == r"\.conv1\.(?=weight|bias)" and re.match(r"(en|de)coder\.conv1\.", theirs):
            continue
        theirs = re.sub(pattern, replacement, theirs)
    return theirs


LAYOUTS: Mapping[str, Layout] = {"kl": ldm_vae, "wan": wan_vae}
