"""Whether models, text encoders, VAEs, LoRAs, ControlNets and latents of a workflow go together, before anything is read.

Files say by their headers what they are (`graphflow.detect`). From the loader nodes that knowledge follows the links: a
text encoder's conditioning belongs to its family, a VAE's latent to its space. Where two meet in one node and can have
nothing in common, it is a Problem at that node and input. What is not known is never a Problem.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from graphflow.detect import (
    PART_TITLES,
    USUAL_ENCODERS,
    Detected,
    describe,
    detect,
    family_of_type,
)
from graphflow.errors import GraphflowError, Problem, UnsupportedFile
from graphflow.families import FAMILIES
from graphflow.node import File, NodeDef, Text

TITLES: Mapping[str, str] = {
    **{one.name: one.title for one in FAMILIES.values()},
    "sd": "Stable Diffusion 1 and 2",
    "wan 2.2": "Wan 2.2 5B",
}


_GIVEN: Mapping[str, tuple[str, ...]] = {"frames": ("start_image", "end_image")}
BRINGS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "WanVaceToVideo": {"vace": ()},
    "WanFunControlToVideo": {"control": ("control_video",), "frames": ("start_image",)},
    "Wan22FunControlToVideo": {"control": ("control_video", "ref_image")},
    "WanImageToVideo": _GIVEN, "WanFirstLastFrameToVideo": _GIVEN, "WanFunInpaintToVideo": _GIVEN,
}  # fmt: skip
"""What nodes put beside a Wan film if one of these inputs is connected (none: always)."""

PLACES: Mapping[str, tuple[str, str]] = {
    "vace": ("a film that steers by VACE", "a VACE model"),
    "control": ("a film that steers", "a Fun control model"),
    "frames": ("pictures that are given", "an image-to-video, first-and-last-frame or Fun InP model"),
}
"""What is put beside a film, and the models that have a place for it."""


class CheckedNode(Protocol):
    """A node of a plan in the making, as `graphflow.plan.Checked` is."""

    @property
    def definition(self) -> NodeDef:
        """What the node is."""

    @property
    def inputs(self) -> Mapping[str, Any]:
        """A link (`node`, `output`) or a literal, files found."""


@dataclass(frozen=True)
class Known:
    """What is known of a value before it is made."""

    families: frozenset[str]
    """Families of models that it can serve; empty for VAEs and latents."""
    spaces: frozenset[str]
    """Spaces of the latents that it goes with; empty where that does not follow."""
    source: str
    """The file that it comes from."""
    beside: str | None = None
    """What a model takes beside its latent, or what a conditioning holds for that, as in `BRINGS`; None if not known."""


Facts = dict[tuple[str, str], Known]
"""(node, wire type of the output) -> what is known of it."""


def check_pairings(nodes: Mapping[str, CheckedNode]) -> list[Problem]:
    """Every pairing that cannot work, at the node and input where it can be mended."""
    facts: Facts = {}
    problems: list[Problem] = []
    for id in _in_order(nodes):
        node = nodes[id]
        problems += _wrong_files(id, node)
        seen = {
            port.name: known for port in node.definition.inputs if (known := _known(node, port.name, port.type, facts))
        }
        problems += _conflicts(id, node, seen)
        _learn(id, node, seen, facts)
    return problems


def _in_order(nodes: Mapping[str, CheckedNode]) -> list[str]:
    """Sources before what takes from them."""
    waiting = {
        id: {link[0] for v in node.inputs.values() if (link := _link(v))} & nodes.keys() for id, node in nodes.items()
    }
    takers: dict[str, list[str]] = {}
    for id, sources in waiting.items():
        for source in sources:
            takers.setdefault(source, []).append(id)
    ready = [id for id, sources in waiting.items() if not sources]
    order = []
    while ready:
        id = ready.pop()
        order.append(id)
        for taker in takers.get(id, ()):
            waiting[taker].discard(id)
            if not waiting[taker]:
                ready.append(taker)
    return order


def _link(value: Any) -> tuple[str, str] | None:
    node, output = getattr(value, "node", None), getattr(value, "output", None)
    return (str(node), str(output)) if node is not None and output is not None else None


# --- what files are --------------------------------------------------------------------------------------------------

EXPECTED: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("CheckpointLoaderSimple", "ckpt_name"): ("model",),
    ("unCLIPCheckpointLoader", "ckpt_name"): ("model",),
    ("UNETLoader", "unet_name"): ("model",),
    ("VAELoader", "vae_name"): ("vae",),
    ("ControlNetLoader", "control_net_name"): ("controlnet",),
    ("DiffControlNetLoader", "control_net_name"): ("controlnet",),
    ("CreateHookModelAsLora", "ckpt_name"): ("model",),
    ("CreateHookModelAsLoraModelOnly", "ckpt_name"): ("model",),
    ("CLIPVisionLoader", "clip_name"): ("clip_vision",),
    ("StyleModelLoader", "style_model_name"): ("style_model",),
    ("IPAdapterModelLoader", "ipadapter_file"): ("ip_adapter",),
    ("ModelPatchLoader", "name"): ("model_patch",),
}
"""Loader node and input -> a part that the file has to hold."""


@functools.lru_cache(maxsize=1024)
def _detected(path: Path, digest: str) -> Detected | None:
    """What a file is; None when it cannot be read: that is told when it is loaded, with the reason."""
    try:
        return detect(path)
    except (GraphflowError, OSError):
        return None


def _what(value: Any) -> Detected | None:
    return _detected(value.path, value.digest) if isinstance(value, File) and value.path.name else None


def _wrong_files(id: str, node: CheckedNode) -> Iterator[Problem]:
    kind = node.definition.type
    for name, value in node.inputs.items():
        found = _what(value)
        if found is None or found.kind == "unknown":
            continue
        wanted = EXPECTED.get((kind, name), ())
        if wanted and not any(found.part(part) for part in wanted):
            what = PART_TITLES.get(wanted[0], wanted[0].replace("_", " "))
            yield _problem(id, name, f"{value.name} holds no {what}: {describe(found)}", wanted[0], found.kind)
        if name.startswith("lora_name") and found.kind != "lora":
            yield _problem(id, name, f"{value.name} is no LoRA: {describe(found)}", "lora", found.kind)
    if "clip_name1" in node.inputs or kind == "CLIPLoader":
        yield from _wrong_encoders(id, node)


def _wrong_encoders(id: str, node: CheckedNode) -> Iterator[Problem]:
    files = {name: value for name, value in node.inputs.items() if isinstance(value, File)}
    names: set[str] = set()
    for name, value in files.items():
        found = _what(value)
        encoders = [p.name for p in found.parts if p.name not in ("model", "vae", "clip_vision")] if found else []
        if found and found.kind != "unknown" and not encoders:
            yield _problem(
                id, name, f"{value.name} holds no text encoder: {describe(found)}", "text_encoder", found.kind
            )
        names |= set(encoders)
    try:
        if names:
            family_of_type(_type_of(node), names)
    except UnsupportedFile as error:
        yield _problem(id, "type" if "type" in node.inputs else None, error.message, _type_of(node), ", ".join(names))


def _type_of(node: CheckedNode) -> str:
    default = {"TripleCLIPLoader": "sd3", "QuadrupleCLIPLoader": "hidream"}.get(node.definition.type, "")
    return str(node.inputs.get("type", default))


def _problem(id: str, input: str | None, message: str, expected: str, found: str) -> Problem:
    details = {"expected": expected, "found": found}
    return Problem(node=id, input=input, message=message, code="wrong_pairing", details=details)


# --- what follows from them ------------------------------------------------------------------------------------------


def _known(node: CheckedNode, name: str, type: str, facts: Facts) -> Known | None:
    link = _link(node.inputs.get(name))
    return next((k for wire in type.split("|") if link and (k := facts.get((link[0], wire)))), None)


def _learn(id: str, node: CheckedNode, seen: Mapping[str, Known], facts: Facts) -> None:
    """What is known of a node's outputs: from its files, else from its inputs."""
    types = {port.name: port.type for port in node.definition.inputs}
    by_type: dict[str, Known] = {}
    for name, known in seen.items():
        by_type.setdefault(types[name], known)
    for port in node.definition.outputs:
        if made := _from_files(node, port.type) or _from_inputs(port.type, by_type):
            facts[id, port.type] = made
    if brought := _brought(node):
        known = by_type.get("CONDITIONING", Known(frozenset({"wan"}), frozenset(), node.definition.type))
        facts[id, "CONDITIONING"] = replace(known, beside=brought)


def _brought(node: CheckedNode) -> str:
    """What a node puts beside a film."""
    ways = BRINGS.get(node.definition.type, {})
    linked = {name for name, value in node.inputs.items() if _link(value)}
    return next((what for what, inputs in ways.items() if not inputs or linked & set(inputs)), "")


def _from_files(node: CheckedNode, wire: str) -> Known | None:
    files = [value for value in node.inputs.values() if isinstance(value, File)]
    described = [(value, found) for value in files if (found := _what(value))]
    if wire == "CLIP" and node.definition.type in ENCODER_LOADERS:
        return _of_encoders(node, described)
    for value, found in described:
        if known := _serves(found, wire, value.name):
            return known
    return None


ENCODER_LOADERS = ("CLIPLoader", "DualCLIPLoader", "TripleCLIPLoader", "QuadrupleCLIPLoader")


def _of_encoders(node: CheckedNode, described: Sequence[tuple[File, Detected]]) -> Known | None:
    names = {part.name for _, found in described for part in found.parts}
    try:
        family = family_of_type(_type_of(node), names) if names else ""
    except UnsupportedFile:
        return None
    return Known(frozenset({family}), frozenset(), described[0][0].name) if family else None


def _serves(found: Detected, wire: str, name: str) -> Known | None:
    """What a file holds for an output of that type."""
    family = frozenset({found.family}) if found.family else frozenset()
    if wire == "MODEL" and found.part("model"):
        return Known(family, frozenset({space_of(found)}), name, found.details.get("beside"))
    if wire == "CLIP" and found.part("model") and len(found.parts) > 1:
        return Known(family, frozenset(), name)
    if wire == "VAE" and found.part("vae"):
        spaces = frozenset({space_of(found)}) if found.part("model") else _spaces_of_vae(found)
        return Known(frozenset(), spaces, name) if spaces else None
    if wire == "CONTROL_NET" and found.kind in ("controlnet", "t2i_adapter") and family:
        return Known(family, frozenset(), name)
    if wire == "STYLE_MODEL" and found.kind == "style_model":
        return Known(family, frozenset(), name)
    if wire == "MODEL_PATCH" and found.kind == "model_patch":
        return Known(family, frozenset(), name)
    if wire == "IPADAPTER" and found.kind == "ip_adapter" and family:
        return Known(family, frozenset(), name)
    return None


USUAL = (4, 5, 7, 8, 9)
"""Channels that U-Nets take: inpainting, depth and instruction networks more beside the latent's four."""


def _own_space(channels: int) -> str:
    """Of U-Nets whose latents have other channels."""
    return f"{channels} channels"


def space_of(found: Detected) -> str:
    """The space of a model's latents; one of unusual channels has its own."""
    channels = found.details.get("latent_channels") or found.details.get("in_channels")
    family = FAMILIES[found.family]
    if family.context and channels and channels not in USUAL:
        return _own_space(channels)
    return next((space for (_, own), space in family.autoencoders.items() if own == channels), family.space)


def _spaces_of_vae(found: Detected) -> frozenset[str]:
    channels = found.details.get("latent_channels") or 0
    kind = next(part.family for part in found.parts if part.name == "vae")
    kind = "kl" if kind == "tiny" else kind
    every = [one.autoencoders for one in FAMILIES.values()]
    exact = {spaces[kind, channels] for spaces in every if (kind, channels) in spaces}
    if kind == "kl":
        return frozenset({*exact, *([_own_space(channels)] if channels not in USUAL else [])} if channels else ())
    usual = {spaces[key] for spaces in every if (key := next(iter(spaces)))[0] == kind}
    return frozenset(exact or usual)


def _from_inputs(wire: str, by_type: Mapping[str, Known]) -> Known | None:
    if wire in by_type and wire in ("MODEL", "CLIP", "VAE", "CONDITIONING", "CONTROL_NET", "GUIDER"):
        return by_type[wire]
    if wire == "LATENT":
        return _latent(by_type)
    if wire == "CONDITIONING":
        return by_type.get("CLIP")
    return by_type.get("MODEL") if wire == "GUIDER" else None


def _latent(by_type: Mapping[str, Known]) -> Known | None:
    source = by_type.get("VAE") or by_type.get("MODEL") or by_type.get("GUIDER")
    return Known(frozenset(), source.spaces, source.source) if source and source.spaces else by_type.get("LATENT")


# --- what cannot be together -----------------------------------------------------------------------------------------


MIXES = ("ModelMerge", "CLIPMerge")
"""Beginnings of the names of nodes that mix two models, which must be of one family."""

BLOCK_MIXES: Mapping[str, str] = {
    "ModelMergeSD1": "sd15", "ModelMergeSD2": "sd2", "ModelMergeSDXL": "sdxl", "ModelMergeSD3_2B": "sd3",
    "ModelMergeSD35_Large": "sd3", "ModelMergeAuraflow": "auraflow", "ModelMergeFlux1": "flux",
    "ModelMergeQwenImage": "qwen_image", "ModelMergeWAN2_1": "wan",
}  # fmt: skip
"""Nodes that mix two models block by block, and the family whose blocks they know."""


def _conflicts(id: str, node: CheckedNode, seen: Mapping[str, Known]) -> Iterator[Problem]:
    types = {port.name: port.type for port in node.definition.inputs}

    def of(wire: str) -> list[tuple[str, Known]]:
        return [(name, known) for name, known in seen.items() if types[name] == wire]

    conds, latents = of("CONDITIONING"), of("LATENT")
    for _, model in [*of("MODEL"), *of("GUIDER")][:1]:
        for name, cond in conds:
            if cond.families and not _fits(cond.families, model.families):
                yield _clash(id, name, "the conditioning", cond, "the model", model)
            elif cond.beside and model.beside is not None and not _has_place(model.beside, cond.beside):
                yield _no_place(id, name, cond.beside, model)
        for name, latent in latents:
            if not latent.spaces & model.spaces:
                yield _clash(id, name, "the latent", latent, "the model", model)
    for name, vae in of("VAE"):
        for _, latent in latents:
            if not latent.spaces & vae.spaces:
                yield _clash(id, name, "the VAE", vae, "the latent", latent)
        for _, cond in conds[:1]:
            if not vae.spaces & _spaces_of_text(cond.families, vae.spaces):
                yield _clash(id, name, "the VAE", vae, "the conditioning", cond)
    for name, control in of("CONTROL_NET"):
        for _, cond in conds[:1]:
            if cond.families and not control.families & cond.families:
                yield _clash(id, name, "the ControlNet", control, "the conditioning", cond)
    for wire, what in (("IPADAPTER", "the IP-Adapter"), ("MODEL_PATCH", "the model patch")):
        for name, adapter in of(wire):
            for _, model in of("MODEL"):
                if model.families and not adapter.families & model.families:
                    yield _clash(id, name, what, adapter, "the model", model)
    if made_for := BLOCK_MIXES.get(node.definition.type):
        expected = Known(frozenset({made_for}), frozenset(), node.definition.type)
        for name, model in of("MODEL"):
            if model.families and made_for not in model.families:
                yield _clash(id, name, "the model", model, "the node", expected)
    elif node.definition.type.startswith(MIXES):
        for wire, what in (("MODEL", "the model"), ("CLIP", "the text encoder")):
            for (_, first), (name, second) in itertools.pairwise(of(wire)):
                if first.families and second.families and not first.families & second.families:
                    yield _clash(id, name, what, second, "the other", first)
    for name, style in of("STYLE_MODEL"):
        for _, cond in conds[:1]:
            if cond.families and not _fits(style.families, cond.families):
                yield _clash(id, name, "the style model", style, "the conditioning", cond)
    yield from _adapters(id, node, seen, types)


def _has_place(taken: str, brought: str) -> bool:
    return taken == brought or (taken, brought) == ("control", "frames")


def _no_place(id: str, input: str, brought: str, model: Known) -> Problem:
    what, wanted = PLACES[brought]
    message = f"the conditioning holds {what}, for which the model ({model.source}) has no place: load {wanted}"
    return _problem(id, input, message, wanted, model.beside or "a model for texts alone")


def _spaces_of_text(families: frozenset[str], spaces: frozenset[str]) -> frozenset[str]:
    """The spaces of these families' models, and of these spaces those that a U-Net of theirs may have."""
    kinds = [FAMILIES[name] for name in families if name in FAMILIES]
    own = {space for space in spaces if space.endswith(" channels") and any(kind.context for kind in kinds)}
    return frozenset({*(kind.space for kind in kinds), *own})


def _fits(found: frozenset[str], wanted: frozenset[str]) -> bool:
    also = {name for one in wanted if one in FAMILIES for name in FAMILIES[one].also_understands}
    return bool(found & (wanted | also))


def _adapters(id: str, node: CheckedNode, seen: Mapping[str, Known], types: Mapping[str, str]) -> Iterator[Problem]:
    """LoRAs and textual inversions against the models and text encoders beside them."""
    holders = [known for name, known in seen.items() if types[name] in ("MODEL", "CLIP")][:1]
    for name, value in node.inputs.items():
        for holder in holders:
            found = _what(value)
            families = frozenset(found.families if found and found.kind == "lora" else ())
            if families and not families & holder.families:
                known = Known(families, frozenset(), value.name)
                yield _clash(id, name, "the LoRA", known, "the model", holder)
            if isinstance(value, Text):
                yield from _embeddings(id, name, value, holder)


def _embeddings(id: str, name: str, text: Text, holder: Known) -> Iterator[Problem]:
    for file in text.files.values():
        found = _what(file)
        if found and found.kind == "embedding" and found.family and not _shares_encoder(found.family, holder.families):
            known = Known(frozenset({found.family}), frozenset(), file.name)
            yield _clash(id, name, "the textual inversion", known, "the text encoder", holder)


def _shares_encoder(family: str, families: frozenset[str]) -> bool:
    return any(set(USUAL_ENCODERS[family]) & set(USUAL_ENCODERS.get(other, ())) for other in families)


def _clash(id: str, input: str, what: str, found: Known, whose: str, expected: Known) -> Problem:
    message = (
        f"{what} ({found.source}) is for {_titles(found)}, {whose} ({expected.source}) for {_titles(expected)}: "
        "choose two of one family"
    )
    return _problem(id, input, message, ", ".join(_names(expected)), ", ".join(_names(found)))


def _names(known: Known) -> list[str]:
    return sorted(known.families or known.spaces)


def _titles(known: Known) -> str:
    return " or ".join(TITLES.get(name, name) for name in _names(known))
