"""From tables to pictures over HTTP, all to the last bit, on any x86 processor with AVX-512 and a C compiler."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent
INTEL_PATH = "int mkl_serv_intel_cpu(void){return 1;} int mkl_serv_intel_cpu_true(void){return 1;}"
"""MKL asks for the maker of the processor before it takes the path with which the golden numbers were made."""
GOLDEN_TESTS = (
    "test_samplers.py::test_latents_equal_the_reference",
    "test_samplers.py::test_newer_versions_seed_ancestral_noise_one_up",
    "test_samplers.py::test_x_before_each_step_equals_the_reference",
    "test_guidance.py::test_image_to_image_and_inpainting_equal_the_reference",
    "test_noise.py",
    "test_schedules.py",
    "test_models_sd15.py::test_prompts_are_encoded_as_comfyui_does",
    "test_models_sd15.py::test_latents_are_decoded_as_comfyui_does",
    "test_models_sd15.py::test_pictures_are_encoded_to_the_mode_of_the_posterior",
    "server/test_pixels.py",
)


@pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() != "AVX512" or shutil.which("cc") is None,
    reason="needs AVX-512 and a C compiler",
)
def test_golden_numbers_are_met_to_the_last_bit(tmp_path: Path) -> None:
    library = tmp_path / "intel_path.so"
    (tmp_path / "intel_path.c").write_text(INTEL_PATH)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, tmp_path / "intel_path.c"], check=True)
    environment = {**os.environ, "LD_PRELOAD": str(library), "OMP_NUM_THREADS": "1"}  # as the golden run's

    strict = "from tests.numerics import same_networks; raise SystemExit(not same_networks())"
    subprocess.run([sys.executable, "-c", strict], cwd=ROOT, env=environment, check=True)
    tests = [str(Path("tests", name)) for name in GOLDEN_TESTS]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert run.returncode == 0, run.stdout
