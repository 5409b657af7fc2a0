"""Samplers: generators that ask for D(x; sigma) along a list of sigmas, and return x at the last of them.

`sampler(model, x, sigmas, noise, **options)` yields `Denoise` and is sent the denoised prediction, and yields
`Progress` after each step. To add one, write its generator and name it here; the tests of order take it from the list.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Literal, cast, get_args

from graphflow.diffusion.samplers import cfg_pp, dpm, exponential, ode, seeds, stochastic, unipc
from graphflow.diffusion.samplers.common import SampledModel, SamplerFunction, Walk

__all__ = [
    "FRESH_MASK_NOISE",
    "RESIZING",
    "SAMPLERS",
    "SampledModel",
    "SamplerFunction",
    "SamplerName",
    "Walk",
    "sampler_function",
]

SamplerName = Literal[
    "euler",
    "euler_cfg_pp",
    "euler_ancestral",
    "euler_ancestral_cfg_pp",
    "heun",
    "heunpp2",
    "dpm_2",
    "dpm_2_ancestral",
    "lms",
    "dpm_fast",
    "dpm_adaptive",
    "dpmpp_2s_ancestral",
    "dpmpp_2s_ancestral_cfg_pp",
    "dpmpp_sde",
    "dpmpp_sde_gpu",
    "dpmpp_2m",
    "dpmpp_2m_cfg_pp",
    "dpmpp_2m_sde",
    "dpmpp_2m_sde_gpu",
    "dpmpp_2m_sde_heun",
    "dpmpp_2m_sde_heun_gpu",
    "dpmpp_3m_sde",
    "dpmpp_3m_sde_gpu",
    "ddpm",
    "lcm",
    "ipndm",
    "ipndm_v",
    "deis",
    "res_multistep",
    "res_multistep_cfg_pp",
    "res_multistep_ancestral",
    "res_multistep_ancestral_cfg_pp",
    "gradient_estimation",
    "gradient_estimation_cfg_pp",
    "er_sde",
    "seeds_2",
    "seeds_3",
    "sa_solver",
    "sa_solver_pece",
    "ddim",
    "uni_pc",
    "uni_pc_bh2",
]

_with = functools.partial

SAMPLERS: Mapping[SamplerName, SamplerFunction] = cast(
    "Mapping[SamplerName, SamplerFunction]",
    {
        "euler": ode.euler,
        "euler_cfg_pp": cfg_pp.euler_cfg_pp,
        "euler_ancestral": ode.euler_ancestral,
        "euler_ancestral_cfg_pp": cfg_pp.euler_ancestral_cfg_pp,
        "heun": ode.heun,
        "heunpp2": ode.heunpp2,
        "dpm_2": ode.dpm_2,
        "dpm_2_ancestral": ode.dpm_2_ancestral,
        "lms": ode.lms,
        "dpm_fast": dpm.dpm_fast,
        "dpm_adaptive": dpm.dpm_adaptive,
        "dpmpp_2s_ancestral": exponential.dpmpp_2s_ancestral,
        "dpmpp_2s_ancestral_cfg_pp": cfg_pp.dpmpp_2s_ancestral_cfg_pp,
        "dpmpp_sde": exponential.dpmpp_sde,
        "dpmpp_sde_gpu": _with(exponential.dpmpp_sde, on_device=True),
        "dpmpp_2m": exponential.dpmpp_2m,
        "dpmpp_2m_cfg_pp": cfg_pp.dpmpp_2m_cfg_pp,
        "dpmpp_2m_sde": exponential.dpmpp_2m_sde,
        "dpmpp_2m_sde_gpu": _with(exponential.dpmpp_2m_sde, on_device=True),
        "dpmpp_2m_sde_heun": _with(exponential.dpmpp_2m_sde, solver_type="heun"),
        "dpmpp_2m_sde_heun_gpu": _with(exponential.dpmpp_2m_sde, solver_type="heun", on_device=True),
        "dpmpp_3m_sde": exponential.dpmpp_3m_sde,
        "dpmpp_3m_sde_gpu": _with(exponential.dpmpp_3m_sde, on_device=True),
        "ddpm": stochastic.ddpm,
        "lcm": stochastic.lcm,
        "ipndm": ode.ipndm,
        "ipndm_v": ode.ipndm_v,
        "deis": ode.deis,
        "res_multistep": exponential.res_multistep,
        "res_multistep_cfg_pp": cfg_pp.res_multistep_cfg_pp,
        "res_multistep_ancestral": _with(exponential.res_multistep, eta=1.0),
        "res_multistep_ancestral_cfg_pp": _with(cfg_pp.res_multistep_cfg_pp, eta=1.0),
        "gradient_estimation": ode.gradient_estimation,
        "gradient_estimation_cfg_pp": cfg_pp.gradient_estimation_cfg_pp,
        "er_sde": seeds.er_sde,
        "seeds_2": seeds.seeds_2,
        "seeds_3": seeds.seeds_3,
        "sa_solver": stochastic.sa_solver,
        "sa_solver_pece": stochastic.sa_solver_pece,
        "ddim": ode.euler,
        "uni_pc": unipc.uni_pc,
        "uni_pc_bh2": unipc.uni_pc_bh2,
    },
)
assert tuple(SAMPLERS) == get_args(SamplerName)

RESIZING: Mapping[str, SamplerFunction] = {"lcm_upscale": cast("SamplerFunction", stochastic.lcm_upscale)}
"""Samplers that return x in another size; they have a node of their own."""


def sampler_function(name: str) -> SamplerFunction:
    """The sampler of that name."""
    return RESIZING[name] if name in RESIZING else SAMPLERS[cast("SamplerName", name)]


FRESH_MASK_NOISE = frozenset({"ddim"})
"""Samplers whose inpainting puts noise of seed + 1, not the initial noise, on what is kept."""
