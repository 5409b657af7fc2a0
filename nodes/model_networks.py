"""Small networks that work inside a denoising network, and references whose work is done apart."""

from __future__ import annotations

from typing import Annotated

from graphflow.api import File, Folder, Image, Mask, Model, ModelPatch, Vae, node
from graphflow.diffusion.sampling_patches import ReferencesApartPatch
from graphflow.models import Hypernetwork, Steered, hypernetwork_file, model_patch

from ._fields import span


@node("ModelPatchLoader", category="advanced/loaders", experimental=True)
def model_patch_loader(name: Annotated[File, Folder("model_patches")]) -> ModelPatch:
    """Opens a small network that works inside a denoising network.

    Those are Qwen-Image's blockwise controls by DiffSynth, and the Fun controls of Z-Image and Flux 2.
    """
    return model_patch(name)


@node("QwenImageDiffsynthControlnet", category="advanced/loaders/qwen", experimental=True)
def qwen_image_diffsynth_controlnet(
    model: Model,
    model_patch: ModelPatch,
    vae: Vae,
    image: Image,
    strength: Annotated[float, span(-10.0, 10.0, 0.01)] = 1.0,
    mask: Mask | None = None,
) -> Model:
    """Lets a picture of edges, depth or a pose steer Qwen-Image, Z-Image or Flux 2 from inside, by a model patch.

    Nets that inpaint paint where the mask is; others take no notice of it. The picture is cut around its centre to the
    latent's aspect.
    """
    if strength == 0:
        return model
    hole = None if mask is None else mask.data
    return model.patched(Steered(model_patch, vae, image.data, strength, hole, None if mask is None else image.data))


@node("ZImageFunControlnet", category="advanced/loaders/zimage", experimental=True)
def z_image_fun_controlnet(
    model: Model,
    model_patch: ModelPatch,
    vae: Vae,
    strength: Annotated[float, span(-10.0, 10.0, 0.01)] = 1.0,
    image: Image | None = None,
    inpaint_image: Image | None = None,
    mask: Mask | None = None,
) -> Model:
    """Steers Z-Image by a Fun control: by a picture of edges, depth or a pose, by one to be painted in, or by both.

    `inpaint_image` is kept but where the mask is; it and the mask go together. Flux 2's Fun control is taken, too.
    """
    if (inpaint_image is None) != (mask is None):
        raise ValueError("inpaint_image and mask go together: connect both, or neither")
    if image is None and inpaint_image is None:
        raise ValueError("there is nothing to steer by: connect image, or inpaint_image and mask")
    if strength == 0:
        return model
    pictures = [None if one is None else one.data for one in (image, mask, inpaint_image)]
    return model.patched(Steered(model_patch, vae, pictures[0], strength, *pictures[1:]))


@node("FluxKVCache", title="Flux KV Cache", category="advanced/model")
def flux_kv_cache(model: Model) -> Model:
    """For Flux 2 Klein's KV models, whose reference pictures see themselves alone, and no noise.

    So the references are worked on as these models learnt it. They are worked on in each step, not kept from the first.
    """
    return model.patched(ReferencesApartPatch())


@node("HypernetworkLoader", category="loaders")
def hypernetwork_loader(
    model: Model,
    hypernetwork_name: Annotated[File, Folder("hypernetworks")],
    strength: Annotated[float, span(-10.0, 10.0, 0.01)] = 1.0,
) -> Model:
    """Changes what a U-Net's attention looks at by the small networks of a file, trained in the Web UI.

    Those files are pickles, which are refused; in safetensors their tensors are named `768.0.linear.0.weight`.
    """
    return model.patched(Hypernetwork(hypernetwork_file(hypernetwork_name), strength))
