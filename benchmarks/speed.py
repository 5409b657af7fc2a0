"""What each speed switch gains, how far its picture is from the one without it, and what GGUF's blocks cost.

Run with `python -m benchmarks.speed`. The U-Net is the model on board; the transformer a small Flux with random weights,
whose first block sees larger changes than a trained one's, so that thresholds which skip much there skip nothing here. Gains are of the
sampling's processor time on one thread, the cheapest of several rounds in turn; the error is the mean difference of the
final latents, relative to their own mean size, and for the U-Net also of the pictures, in steps of 8 bits.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from graphflow.engine.stepper import Lane, Stepper
from graphflow.families import FAMILIES
from graphflow.layouts import join
from graphflow.models import Residency, loaded
from graphflow.node import File
from graphflow.paths import builtin_models
from graphflow.values import Cond, Conditioning, Latent, Model, Vae, Weights
from graphflow_nodes.conditioning import clip_text_encode
from graphflow_nodes.loaders import checkpoint_loader_simple
from graphflow_nodes.sampling import k_sampler
from graphflow_nodes.speed import (
    attention_kernel,
    channels_last,
    deep_cache,
    easy_cache,
    first_block_cache,
    torch_compile_model,
)

STEPS, ROUNDS = 20, 3


@dataclass(frozen=True)
class Subject:
    """A model, what it paints, and how."""

    model: Model
    positive: Conditioning
    negative: Conditioning
    latent: Latent
    scheduler: str
    vae: Vae | None = None


def on_board(text: str = "a red apple") -> Subject:
    """The U-Net that ships."""
    parts = checkpoint_loader_simple(
        File("graphflow-emoji", builtin_models() / "checkpoints" / "graphflow-emoji", "board")
    )
    texts = [clip_text_encode(text, parts.CLIP) for text in (text, "")]
    return Subject(parts.MODEL, texts[0], texts[1], Latent(torch.zeros(1, 4, 8, 8)), "normal", parts.VAE)


FLUX = {
    "in_channels": 64, "num_layers": 4, "num_single_layers": 8, "attention_head_dim": 32, "num_attention_heads": 8,
    "joint_attention_dim": 64, "pooled_projection_dim": 32, "guidance_embeds": True, "axes_dims_rope": [8, 12, 12],
}  # fmt: skip


def small_flux(folder: Path) -> Subject:
    """A transformer of twelve blocks."""
    from diffusers import FluxTransformer2DModel

    torch.manual_seed(0)
    module = FluxTransformer2DModel.from_config(FLUX)
    path = folder / "flux.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in module.state_dict().items()}, path)
    module.save_config(path.with_suffix(".config") / "transformer")
    text = [Conditioning((Cond(torch.randn(1, 32, 64), torch.randn(1, 32)),)) for _ in range(2)]
    model = Model(Weights((File(path.name, path, "flux"),), "model", "flux"))
    return Subject(model, text[0], text[1], Latent(torch.zeros(1, 16, 32, 32)), "simple")


def packed(subject: Subject, kind: str) -> Model:
    """The same transformer as a GGUF file of one type of block."""
    import gguf

    type_ = gguf.GGMLQuantizationType[kind]
    plain = subject.model.weights.files[0].path
    state, path = load_file(plain), plain.with_name(f"{kind}.gguf")
    writer = gguf.GGUFWriter(str(path), "flux")
    for entry in FAMILIES["flux"].layout(state):
        data = join(entry, state).numpy()
        if data.ndim == 2 and data.shape[1] % 32 == 0:
            writer.add_tensor(entry.theirs, gguf.quants.quantize(data, type_), raw_dtype=type_)
        else:
            writer.add_tensor(entry.theirs, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    shutil.copytree(plain.with_suffix(".config"), path.with_suffix(".config"))
    return Model(Weights((File(path.name, path, kind),), "model", "flux"))


def painted(subject: Subject, model: Model, seed: int = 7) -> tuple[Tensor, float]:
    """The latent, and the processor time in seconds."""
    lane = Lane(
        lambda: k_sampler(
            model, seed=seed, steps=STEPS, cfg=4.0, sampler_name="euler", scheduler=subject.scheduler,  # type: ignore[arg-type]
            positive=subject.positive, negative=subject.negative, latent_image=subject.latent,
        )
    )  # fmt: skip
    stepper, left = Stepper(), [lane]
    began = time.process_time()
    with torch.inference_mode():
        while left:
            stepper.round(left)
    took = time.process_time() - began
    outcome, value = lane.messages.get()
    if outcome == "failed":
        raise value
    return value.data, took


def compare(subject: Subject, switches: dict[str, Callable[[Model], Model]]) -> None:
    """Prints a line for each switch."""
    models = {"without": subject.model, **{name: switch(subject.model) for name, switch in switches.items()}}
    for model in models.values():
        painted(subject, model)  # compiles, and brings weights
    rounds = [{name: painted(subject, model) for name, model in models.items()} for _ in range(ROUNDS)]
    plain = rounds[0]["without"][0]
    fastest = {name: min(r[name][1] for r in rounds) for name in models}
    for name in models:
        latent = rounds[0][name][0]
        error = float((latent - plain).abs().mean() / plain.abs().mean())
        seen = "" if subject.vae is None else f", picture {_steps_of_8_bits(subject.vae, latent, plain):5.2f} of 255"
        print(f"{name:34}{fastest[name]:7.2f} s  x{fastest['without'] / fastest[name]:.2f}  error {error:.4f}{seen}")


def _steps_of_8_bits(vae: Vae, one: Tensor, other: Tensor) -> float:
    with loaded(vae) as autoencoder:
        return float(255 * (autoencoder.decode(one) - autoencoder.decode(other)).abs().mean())


def main() -> None:
    """Prints what each switch gains and costs."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, Residency(device="cpu", dtype="float32").active():
        print(f"the U-Net on board, {STEPS} steps")
        compare(
            on_board(),
            {
                "DeepCache, interval 2": lambda model: deep_cache(model, 2),
                "DeepCache, interval 3": lambda model: deep_cache(model, 3),
                "DeepCache, interval 5": lambda model: deep_cache(model, 5),
                "EasyCache, threshold 0.05": lambda model: easy_cache(model, 0.05),
                "EasyCache, threshold 0.1": lambda model: easy_cache(model, 0.1),
                "EasyCache, threshold 0.2": lambda model: easy_cache(model, 0.2),
                "Channels Last": channels_last,
                "Attention Kernel math": lambda model: attention_kernel(model, "math"),
                "TorchCompileModel": torch_compile_model,
            },
        )
        print(f"a small Flux with random weights, {STEPS} steps")
        flux = small_flux(Path(folder))
        in_blocks = {kind: packed(flux, kind) for kind in ("Q8_0", "Q4_0")}
        compare(
            flux,
            {
                "GGUF Q8_0": lambda _: in_blocks["Q8_0"],
                "GGUF Q4_0": lambda _: in_blocks["Q4_0"],
                "First Block Cache, threshold 0.1": lambda model: first_block_cache(model, 0.1),
                "First Block Cache, threshold 0.5": lambda model: first_block_cache(model, 0.5),
                "First Block Cache, threshold 0.8": lambda model: first_block_cache(model, 0.8),
                "Attention Kernel math": lambda model: attention_kernel(model, "math"),
                "TorchCompileModel": torch_compile_model,
            },
        )


if __name__ == "__main__":
    main()
