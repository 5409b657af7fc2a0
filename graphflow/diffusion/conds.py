"""Conditioning made ready for a sampling: areas in latent pixels, masks at latent size, percents as sigmas.

What the wires carry says *where, when and how strongly* a text holds in the picture's own terms. Here that becomes
`Region`s of one latent, once per sampling; `guidance` then only looks up who is active at a sigma.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pixel_unshuffle

from graphflow.diffusion.hooks import Strengths
from graphflow.diffusion.network import (
    BOXES,
    ControlNetwork,
    DiffusionNetwork,
    NetworkEdit,
    RowCache,
    RowCond,
    RowControl,
    RowGrounding,
    RowImage,
)
from graphflow.diffusion.parametrisation import Parametrisation
from graphflow.values import Area, Cond, Conditioning, Control, Grounding, WeightHook

FEATHER = 8
"""Latent pixels over which an area's edge fades in, at most."""


@dataclass(frozen=True)
class Box:
    """A part of the latent, in latent pixels."""

    height: int
    width: int
    y: int
    x: int

    def cut(self, tensor: Tensor) -> Tensor:
        """The part of (..., h, w)."""
        return tensor[..., self.y : self.y + self.height, self.x : self.x + self.width]

    def holds(self, other: Box) -> bool:
        """Whether the other lies in this one."""
        return (
            self.y <= other.y
            and self.x <= other.x
            and self.y + self.height >= other.y + other.height
            and self.x + self.width >= other.x + other.width
        )

    def clamped(self, size: tuple[int, int]) -> Box:
        """Its part inside a latent of that size; raises `ValueError` when there is none."""
        height, width = size
        if self.y >= height or self.x >= width or self.height < 1 or self.width < 1:
            raise ValueError(
                f"the area of {self.width}x{self.height} at ({self.x}, {self.y}), in latent pixels, lies outside "
                f"the latent of {width}x{height}; move it or make the picture larger"
            )
        return Box(min(self.height, height - self.y), min(self.width, width - self.x), self.y, self.x)


@dataclass(frozen=True, eq=False)
class ActiveControl:
    """A ControlNet on the device, and the sigmas between which it works."""

    net: ControlNetwork
    hint: Tensor
    """(B, C, H, W), at its own size."""
    strength: float
    first: float
    """Active at and below this sigma."""
    last: float
    """Active at and above this sigma."""
    union_type: str = ""
    latent: bool = False
    """The hint is a latent, which takes the latent's size, not the picture's."""


@dataclass(frozen=True, eq=False)
class Region:
    """One entry of a conditioning in one latent."""

    cond: Cond
    """What it says; its area, mask and range are already resolved below."""
    box: Box | None
    mask: Tensor | None
    """(B or 1, h, w)."""
    first: float
    """Active at and below this sigma."""
    last: float
    """Active at and above this sigma."""
    controls: tuple[ActiveControl, ...] = ()
    concat: Tensor | None = None
    """(B, c, h, w) in the network's space: channels beside x, of the whole latent."""

    def active(self, sigma: float) -> bool:
        """Whether it holds at that noise level."""
        return self.last <= sigma <= self.first

    def part(self, x: Tensor) -> Tensor:
        """What the network sees of x."""
        return x if self.box is None else self.box.cut(x)

    def weight(self, x: Tensor) -> Tensor:
        """How much its prediction counts, shaped like `part(x)`."""
        part = self.part(x)
        if self.mask is not None:
            mask = self.mask[: len(part)]
            mask = mask if self.box is None else self.box.cut(mask)
            mask = (mask * self.cond.mask_strength)[:, None]
            if part.ndim == 5:
                mask = mask[:, :, None]
            return fit_batch(mask, len(part)).expand(part.shape) * self.cond.strength
        weight = torch.ones_like(part) * self.cond.strength
        if self.box is not None:
            _feather(weight, self.box, (x.shape[-2], x.shape[-1]))
        return weight


def _feather(weight: Tensor, box: Box, size: tuple[int, int]) -> None:
    """Fades the edges that are not the picture's."""
    for dim, length, offset, whole in ((-2, box.height, box.y, size[0]), (-1, box.width, box.x, size[1])):
        ramp = min(FEATHER, length // 4)
        for t in range(ramp):
            if offset != 0:
                weight.narrow(dim, t, 1).mul_((1.0 / ramp) * (t + 1))
            if offset + length < whole:
                weight.narrow(dim, length - 1 - t, 1).mul_((1.0 / ramp) * (t + 1))


def fit_batch(tensor: Tensor, count: int) -> Tensor:
    """Cut or repeated to a batch of `count`."""
    if len(tensor) == count:
        return tensor
    if len(tensor) > count:
        return tensor[:count]
    return tensor.repeat(math.ceil(count / len(tensor)), *([1] * (tensor.ndim - 1)))[:count]


# --- from wires to regions -------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Canvas:
    """The latent that is painted on, as regions need to know it."""

    network: DiffusionNetwork
    parametrisation: Parametrisation
    latent: Tensor
    """(B, C, [F,] h, w) in the network's space."""
    noise_mask: Tensor | None = None
    """(B, C, [F,] h, w), 1 where noise is."""
    controls: Mapping[int, ControlNetwork] = field(default_factory=dict)
    """Loaded ControlNets by the id of the `Control` that names them."""
    hints: Mapping[int, Tensor] = field(default_factory=dict)
    """Hints made latents already, by the id of their `Control`."""
    hooked: Callable[[Strengths], DiffusionNetwork] | None = None
    """The network with hooks on its weights."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in latent pixels."""
        return self.latent.shape[-2], self.latent.shape[-1]


def resolve(roles: Mapping[str, Conditioning | None], canvas: Canvas) -> dict[str, list[Region]]:
    """The regions of each role, with counterparts for areas that only one role has."""
    regions = {
        role: [] if conditioning is None else [_region(cond, canvas) for cond in conditioning.entries]
        for role, conditioning in roles.items()
    }
    for role in regions:
        for other in regions:
            if role != other:
                for region in list(regions[role]):
                    _same_area(regions[other], region)
    for role in regions:
        if role != "positive":
            _share_controls(regions.get("positive", ()), regions[role])
            _share_grounding(regions.get("positive", ()), regions[role])
    return regions


def _region(cond: Cond, canvas: Canvas) -> Region:
    box = _box(cond.area, canvas.size)
    mask = _mask(cond.mask, canvas)
    if mask is not None and cond.mask_bounds:
        box = _bounds(mask)
    percent = canvas.parametrisation.percent_to_sigma
    start, end = max(cond.start, cond.clip_start), min(cond.end, cond.clip_end)
    return Region(
        cond=cond,
        box=None if box is None else box.clamped(canvas.size),
        mask=mask,
        first=percent(start) if start > 0 else math.inf,
        last=percent(end) if end < 1 else -math.inf,
        controls=tuple(_control(control, canvas) for control in cond.controls if id(control) in canvas.controls),
        concat=_concat(cond, canvas),
    )


def _box(area: Area | None, size: tuple[int, int]) -> Box | None:
    if area is None:
        return None
    if not area.relative:
        return Box(int(area.height), int(area.width), int(area.y), int(area.x))
    height, width = size
    return Box(
        max(1, round(area.height * height)),
        max(1, round(area.width * width)),
        round(area.y * height),
        round(area.x * width),
    )


def _mask(mask: Tensor | None, canvas: Canvas) -> Tensor | None:
    """(B or 1, h, w) on the network's device."""
    if mask is None:
        return None
    mask = (mask[None] if mask.ndim == 2 else mask).to(canvas.network.device, torch.float32)
    if tuple(mask.shape[-2:]) != canvas.size:
        mask = interpolate(mask[:, None], size=canvas.size, mode="bilinear", align_corners=False)[:, 0]
    return mask


def _bounds(mask: Tensor) -> Box:
    """The smallest box around what is not 0, at least 8 by 8."""
    rows, columns = torch.nonzero(mask.abs().amax(dim=0), as_tuple=True)
    if len(rows) == 0:
        return Box(8, 8, 0, 0)
    top, left = int(rows.min()), int(columns.min())
    return Box(max(8, int(rows.max()) - top + 1), max(8, int(columns.max()) - left + 1), top, left)


def _control(control: Control, canvas: Canvas) -> ActiveControl:
    percent = canvas.parametrisation.percent_to_sigma
    hint = canvas.hints.get(id(control))
    return ActiveControl(
        net=canvas.controls[id(control)],
        hint=control.hint.movedim(-1, 1) if hint is None else hint,
        strength=control.strength,
        first=percent(control.start) if control.start > 0 else math.inf,
        last=percent(control.end) if control.end < 1 else -math.inf,
        union_type=control.net.union_type,
        latent=hint is not None,
    )


def _same_area(regions: list[Region], wanted: Region) -> None:
    """Gives a list what the smallest entry around that area says, in that area, unless it has one of its own."""
    if wanted.box is None:
        return
    around = [r for r in regions if r.box is None or r.box.holds(wanted.box)]
    if not around:
        return
    smallest = min(around, key=lambda r: math.inf if r.box is None else r.box.height * r.box.width)
    if smallest.box == wanted.box:
        return
    says = smallest.cond
    cond = dataclasses.replace(
        says,
        strength=wanted.cond.strength,
        mask_strength=wanted.cond.mask_strength,
        controls=wanted.cond.controls,
        hooks=wanted.cond.hooks,
        default=wanted.cond.default,
    )
    regions.append(dataclasses.replace(wanted, cond=cond, concat=smallest.concat))


def _share_controls(positive: Sequence[Region], negative: list[Region]) -> None:
    """Controls that also hold for other roles go to their entries without an area, if none there has any."""
    shared = [r.controls for r in positive if r.cond.controls_uncond and r.controls and r.box is None]
    if any(r.controls for r in negative if r.box is None):
        return
    places = [i for i, r in enumerate(negative) if r.box is None]
    if not places:
        return
    for k, controls in enumerate(shared):
        at = places[k % len(places)]
        region = dataclasses.replace(negative[at], controls=controls)
        if negative[at].controls:
            negative.append(region)
        else:
            negative[at] = region


def _share_grounding(positive: Sequence[Region], negative: list[Region]) -> None:
    """Texts in boxes always hold for other roles' entries without an area, if none there has any."""
    shared = [r.cond.grounding for r in positive if r.cond.grounding and r.box is None]
    if any(r.cond.grounding for r in negative if r.box is None):
        return
    places = [i for i, r in enumerate(negative) if r.box is None]
    for k, grounding in enumerate(shared if places else ()):
        at = places[k % len(places)]
        region = dataclasses.replace(negative[at], cond=dataclasses.replace(negative[at].cond, grounding=grounding))
        if negative[at].cond.grounding:
            negative.append(region)
        else:
            negative[at] = region


# --- channels beside x -----------------------------------------------------------------------------------------------

GREY = (0.8223, -0.6876, 0.6364, 0.1380)
"""The latent of a grey picture, per channel, in the space of Stable Diffusion's network."""


def _concat(cond: Cond, canvas: Canvas) -> Tensor | None:
    """What an inpainting or instruction network takes beside x."""
    latent = canvas.latent
    if canvas.network.concat == "known":
        return None if canvas.noise_mask is None else canvas.noise_mask[:, :1]
    if canvas.network.concat == "":
        return None
    if canvas.network.concat in ("frames", "vace"):
        return _film(cond, canvas)
    image = None
    if cond.concat_latent is not None:
        image = canvas.network.latent_format.process_in(cond.concat_latent.to(latent))
        image = fit_batch(_fit_size(image, canvas.size), len(latent))
    if canvas.network.concat == "image":
        return torch.zeros_like(latent) if image is None else image
    mask = canvas.noise_mask if cond.concat_mask is None else cond.concat_mask.to(latent)
    if canvas.network.concat == "fill":
        return torch.cat([_pixel_mask(mask, canvas), torch.zeros_like(latent) if image is None else image], dim=1)
    if mask is None:
        grey = torch.tensor(GREY[: latent.shape[1]], dtype=latent.dtype, device=latent.device)
        blank = torch.ones_like(latent) * grey.reshape(1, -1, *([1] * (latent.ndim - 2)))
        return torch.cat([torch.ones_like(latent[:, :1]), blank], dim=1)
    mask = mask[:, :1] if mask.ndim == latent.ndim else mask.reshape(-1, 1, *mask.shape[-2:])
    mask = fit_batch(_fit_size(mask, canvas.size).round(), len(latent))
    return torch.cat([mask, latent if image is None else image], dim=1)


def _film(cond: Cond, canvas: Canvas) -> Tensor | None:
    """(B, c, F, h, w): masks, then latents of which frames of zeros stay zeros: they stand for nothing."""
    latent, form = canvas.latent, canvas.network.latent_format
    if cond.concat_latent is None and canvas.network.concat == "vace":
        return None
    films = torch.zeros_like(latent) if cond.concat_latent is None else cond.concat_latent.to(latent)
    masks = torch.ones_like(latent[:, :1]) if cond.concat_mask is None else cond.concat_mask.to(latent)
    for part in (masks, films):
        if part.shape[2:] != latent.shape[2:]:
            raise ValueError(
                f"the conditioning is for a film of {_told(part)}, the latent is one of {_told(latent)}: connect the "
                "latent that comes from the same node"
            )
    groups = [
        torch.where(g.any(dim=(1, 3, 4), keepdim=True), form.process_in(g), g) for g in films.split(form.channels, 1)
    ]
    return torch.cat([fit_batch(part, len(latent)) for part in (masks, *groups)], dim=1)


def _told(film: Tensor) -> str:
    return f"{film.shape[2]} latent frames of {film.shape[-1]} × {film.shape[-2]}"


def _pixel_mask(mask: Tensor | None, canvas: Canvas) -> Tensor:
    """(B, 64, h, w): the mask's pixels under each place of the latent; all of them where there is no mask."""
    latent, side = canvas.latent, canvas.network.latent_format.downscale
    height, width = canvas.size
    if mask is None:
        return latent.new_ones(len(latent), side * side, height, width)
    mask = mask.reshape(-1, 1, *mask.shape[-2:]) if mask.ndim != latent.ndim else mask[:, :1]
    pixels = _fit_size(mask, (height * side, width * side)).round()
    return fit_batch(pixel_unshuffle(pixels, side), len(latent))


def _fit_size(tensor: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, C, H, W) cut around its centre to the aspect of `size`, then resized to it."""
    if tuple(tensor.shape[-2:]) == size:
        return tensor
    return interpolate(cut_to_aspect(tensor, size), size=size, mode="bilinear", align_corners=False)


def cut_to_aspect(tensor: Tensor, size: tuple[int, int]) -> Tensor:
    """The centre of (B, C, H, W) that has the aspect of (height, width)."""
    height, width = tensor.shape[-2:]
    old, new = width / height, size[1] / size[0]
    x = round((width - width * (new / old)) / 2) if old > new else 0
    y = round((height - height * (old / new)) / 2) if old < new else 0
    return tensor[..., y : height - y, x : width - x]


# --- rows ------------------------------------------------------------------------------------------------------------


def row_cond(
    region: Region,
    x: Tensor,
    sigma: float,
    canvas: Canvas,
    *,
    uncond: bool,
    edits: tuple[NetworkEdit, ...],
    images: tuple[RowImage, ...] = (),
    cache: RowCache | None = None,
) -> RowCond:
    """The conditioning of one call on `x`, which is the region's part."""
    cond, count, device = region.cond, len(x), canvas.network.device
    process_in = canvas.network.latent_format.process_in

    def put(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else fit_batch(tensor, count).to(device)

    context = put(cond.context)
    assert context is not None
    return RowCond(
        parametrisation=canvas.parametrisation,
        context=context,
        control_context=put(cond.control_context),
        grounding=None if cond.grounding is None else _row_grounding(cond.grounding, x),
        pooled=put(cond.pooled),
        attention_mask=put(cond.attention_mask),
        uncond=uncond,
        guidance=cond.guidance,
        concat=None if region.concat is None else region.part(region.concat),
        controls=tuple(_row_control(c, x, canvas) for c in region.controls if c.last <= sigma <= c.first),
        images=tuple(row_image(image, region, count, canvas) for image in images),
        references=tuple(fit_batch(process_in(r), count).to(device) for r in cond.reference_latents),
        reference_method=cond.reference_method,
        unclip=tuple(
            (fit_batch(u.output.image_embeds, count).to(device), u.strength, u.noise_augmentation) for u in cond.unclip
        ),
        cache=cache,
        edits=edits,
        sizes=cond.extras,
        latent_size=canvas.size,
    )


def row_image(image: RowImage, region: Region, count: int, canvas: Canvas) -> RowImage:
    """Pictures for one row: tokens for each of its samples, the mask cut to what the row sees."""
    mask = _mask(image.mask, canvas)
    if mask is not None:
        mask = fit_batch(mask if region.box is None else region.box.cut(mask), count)
    tokens = fit_batch(image.tokens, count).to(canvas.network.device)
    return dataclasses.replace(image, tokens=tokens, mask=mask)


def _row_grounding(grounding: Grounding, x: Tensor) -> RowGrounding:
    height, width = x.shape[-2:]
    found = grounding.boxes[:BOXES]
    boxes, masks = torch.zeros(BOXES, 4), torch.zeros(BOXES)
    embeddings = torch.zeros(BOXES, found[0].embedding.shape[-1])
    for i, box in enumerate(found):
        right, bottom = box.x + box.width, box.y + box.height
        boxes[i] = torch.tensor([box.x / width, box.y / height, right / width, bottom / height])
        masks[i], embeddings[i] = 1.0, box.embedding[0]
    return RowGrounding(grounding.net, boxes, masks, embeddings)


def _row_control(control: ActiveControl, x: Tensor, canvas: Canvas) -> RowControl:
    scale = 1 if control.latent else canvas.network.latent_format.downscale
    size = (x.shape[-2] * scale, x.shape[-1] * scale)
    hint = control.hint
    if tuple(hint.shape[-2:]) != size:
        hint = interpolate(cut_to_aspect(hint, size), size=size, mode="nearest-exact")
    hint = fit_batch(hint, len(x)).to(canvas.network.device)
    return RowControl(control.net, hint, control.strength, control.union_type)


def controls_of(roles: Mapping[str, Conditioning | None]) -> list[Control]:
    """Every control that the conditionings name, once."""
    found: dict[int, Control] = {}
    for conditioning in roles.values():
        for cond in conditioning.entries if conditioning is not None else ():
            found |= {id(control): control for control in cond.controls if control.strength != 0}
    return list(found.values())


def hooks_of(roles: Mapping[str, Conditioning | None]) -> list[WeightHook]:
    """Every hook that the conditionings name, once."""
    conds = (cond for one in roles.values() for cond in (one.entries if one is not None else ()))
    return list(dict.fromkeys(hook for cond in conds for hook in cond.hooks))
