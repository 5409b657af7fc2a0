"""Samplers as values: by name, or with their options."""

from __future__ import annotations

from typing import Annotated, Literal

from graphflow.api import Model, Sampler, node
from graphflow.diffusion.samplers import SamplerName

from ._fields import span
from .schedules import parametrisation_of

CATEGORY = "sampling/custom_sampling/samplers"
Eta = Annotated[float, span(0.0, 100.0, 0.01, "How much noise is added on the way; 0 for none.")]
SNoise = Annotated[float, span(0.0, 100.0, 0.01, "Factor on the noise that is added.")]
NoiseDevice = Literal["gpu", "cpu"]
Option = Annotated[float, span(0.0, 100.0, 0.01)]


@node("KSamplerSelect", category=CATEGORY, example="custom-sampling")
def k_sampler_select(sampler_name: SamplerName = "euler") -> Sampler:
    """A sampler by name, with its usual options."""
    return Sampler(sampler_name)


@node("SamplerEulerAncestral", category=CATEGORY)
def sampler_euler_ancestral(eta: Eta = 1.0, s_noise: SNoise = 1.0) -> Sampler:
    """Euler steps with noise added after each."""
    return Sampler("euler_ancestral", (("eta", eta), ("s_noise", s_noise)))


@node("SamplerEulerAncestralCFGPP", title="SamplerEulerAncestralCFG++", category=CATEGORY)
def sampler_euler_ancestral_cfg_pp(
    eta: Annotated[float, span(0.0, 1.0, 0.01)] = 1.0, s_noise: Annotated[float, span(0.0, 10.0, 0.01)] = 1.0
) -> Sampler:
    """Euler steps with noise, guided as CFG++ does; use a cfg of about 1."""
    return Sampler("euler_ancestral_cfg_pp", (("eta", eta), ("s_noise", s_noise)))


@node("SamplerEulerCFGpp", title="SamplerEulerCFG++", category="_for_testing", experimental=True)
def sampler_euler_cfg_pp(version: Literal["regular", "alternative"] = "regular") -> Sampler:
    """Euler steps guided as CFG++ does; `alternative` steps from the guided prediction along the unguided slope."""
    return Sampler("euler_cfg_pp", (("alternative", float(version == "alternative")),))


@node("SamplerDPMPP_2S_Ancestral", category=CATEGORY)
def sampler_dpmpp_2s_ancestral(eta: Eta = 1.0, s_noise: SNoise = 1.0) -> Sampler:
    """DPM-Solver++ of second order within a step, with noise added after each."""
    return Sampler("dpmpp_2s_ancestral", (("eta", eta), ("s_noise", s_noise)))


@node("SamplerDPMPP_SDE", category=CATEGORY)
def sampler_dpmpp_sde(
    eta: Eta = 1.0, s_noise: SNoise = 1.0, r: Option = 0.5, noise_device: NoiseDevice = "gpu"
) -> Sampler:
    """DPM-Solver++ for the SDE; `r` is where in the step the second evaluation lies."""
    if r == 0:
        raise ValueError("r must be above 0: the second evaluation has to lie after the first")
    return Sampler(_on("dpmpp_sde", noise_device), (("eta", eta), ("s_noise", s_noise), ("r", r)))


@node("SamplerDPMPP_2M_SDE", category=CATEGORY)
def sampler_dpmpp_2m_sde(
    solver_type: Literal["midpoint", "heun"] = "midpoint",
    eta: Eta = 1.0,
    s_noise: SNoise = 1.0,
    noise_device: NoiseDevice = "gpu",
) -> Sampler:
    """DPM-Solver++ for the SDE, of second order over two steps."""
    options = (("eta", eta), ("s_noise", s_noise), ("solver_type", solver_type))
    return Sampler(_on("dpmpp_2m_sde", noise_device), options)


@node("SamplerDPMPP_3M_SDE", category=CATEGORY)
def sampler_dpmpp_3m_sde(eta: Eta = 1.0, s_noise: SNoise = 1.0, noise_device: NoiseDevice = "gpu") -> Sampler:
    """DPM-Solver++ for the SDE, of third order over three steps."""
    return Sampler(_on("dpmpp_3m_sde", noise_device), (("eta", eta), ("s_noise", s_noise)))


def _on(name: str, device: NoiseDevice) -> str:
    return f"{name}_gpu" if device == "gpu" else name


@node("SamplerLMS", category=CATEGORY)
def sampler_lms(order: Annotated[int, span(1, 100)] = 4) -> Sampler:
    """Linear multistep with the slopes of so many steps."""
    return Sampler("lms", (("order", order),))


@node("SamplerDPMAdaptative", category=CATEGORY)
def sampler_dpm_adaptative(
    order: Annotated[int, span(2, 3)] = 3,
    rtol: Option = 0.05,
    atol: Option = 0.0078,
    h_init: Option = 0.05,
    pcoeff: Option = 0.0,
    icoeff: Option = 1.0,
    dcoeff: Option = 0.0,
    accept_safety: Option = 0.81,
    eta: Eta = 0.0,
    s_noise: SNoise = 1.0,
) -> Sampler:
    """DPM-Solver with steps as long as the allowed error lets them be; of the sigmas only the ends count."""
    if h_init == 0 or (rtol == 0 and atol == 0):
        raise ValueError("h_init, and one of rtol and atol, must be above 0: the steps would never get longer")
    return Sampler(
        "dpm_adaptive",
        (
            ("order", order), ("rtol", rtol), ("atol", atol), ("h_init", h_init), ("pcoeff", pcoeff),
            ("icoeff", icoeff), ("dcoeff", dcoeff), ("accept_safety", accept_safety), ("eta", eta), ("s_noise", s_noise),
        ),
    )  # fmt: skip


@node("SamplerER_SDE", category=CATEGORY)
def sampler_er_sde(
    solver_type: Literal["ER-SDE", "Reverse-time SDE", "ODE"] = "ER-SDE",
    max_stage: Annotated[int, span(1, 3)] = 3,
    eta: Eta = 1.0,
    s_noise: SNoise = 1.0,
) -> Sampler:
    """The extended reverse-time SDE solver; `eta` counts for `Reverse-time SDE` only."""
    return Sampler(
        "er_sde", (("solver_type", solver_type), ("max_stage", max_stage), ("eta", eta), ("s_noise", s_noise))
    )


@node("SamplerLCMUpscale", category=CATEGORY)
def sampler_lcm_upscale(
    scale_ratio: Annotated[float, span(0.1, 20.0, 0.01, "How much larger the picture becomes.")] = 1.0,
    scale_steps: Annotated[int, span(-1, 1000, 1, "Over how many steps; -1 for half of them.")] = -1,
    upscale_method: Literal["bislerp", "nearest-exact", "bilinear", "area", "bicubic"] = "bislerp",
) -> Sampler:
    """For LCM models: the picture grows on the way, so that its layout is that of a small one."""
    options = (("total_upscale", scale_ratio), ("upscale_steps", scale_steps), ("upscale_method", upscale_method))
    return Sampler("lcm_upscale", options)


@node("SamplerSASolver", category=CATEGORY)
def sampler_sa_solver(
    model: Model,
    *,
    eta: Annotated[float, span(0.0, 10.0, 0.01)] = 1.0,
    sde_start_percent: Annotated[float, span(0.0, 1.0, 0.001)] = 0.2,
    sde_end_percent: Annotated[float, span(0.0, 1.0, 0.001)] = 0.8,
    s_noise: SNoise = 1.0,
    predictor_order: Annotated[int, span(1, 6)] = 3,
    corrector_order: Annotated[int, span(0, 6)] = 4,
    use_pece: bool = False,
    simple_order_2: bool = False,
) -> Sampler:
    """The stochastic Adams solver; noise is added between two shares of the sampling."""
    percent = parametrisation_of(model).percent_to_sigma
    return Sampler(
        "sa_solver",
        (
            ("eta", eta), ("sde_start_sigma", percent(sde_start_percent)), ("sde_end_sigma", percent(sde_end_percent)),
            ("s_noise", s_noise), ("predictor_order", predictor_order), ("corrector_order", corrector_order),
            ("use_pece", use_pece), ("simple_order_2", simple_order_2),
        ),
    )  # fmt: skip
