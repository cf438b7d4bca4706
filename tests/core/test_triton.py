"""The Triton kernels: their numbers under the interpreter or on a GPU, and that they compile where there is none."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import plastic

ROOT = Path(__file__).parents[2]
CASES = Path(__file__).with_name("triton_cases.py")
WITHOUT = """
import sys
sys.modules["triton"] = None
import torch, plastic
plastic.PlasticRNN(3, 4)(torch.rand(5, 2, 3))[0].sum().backward()
try:
    plastic.PlasticRNN(3, 4, backend="triton")(torch.rand(5, 2, 3))
except ValueError as error:
    assert "Triton cannot be imported" in str(error)
else:
    raise SystemExit("taken for another backend")
"""
FLAVOURS = {
    "advance, answer": {"dtype": "fp32", "GIVE": "answer", "DECAY": "square", "CLIP": None, "F": "tanh"},
    "advance, each": {"dtype": "fp64", "GIVE": "each", "DECAY": "none", "CLIP": 1.0, "F": "tanh", "clamp": None},
    "reverse, free": {"dtype": "fp64", "FREE": True, "DECAY": "none", "CLIP": 0.5, "F": "tanh"},
    "reverse, clamped": {"dtype": "fp32", "FREE": False, "DECAY": "constant", "CLIP": None, "F": "relu", "clamp": None},
}


@pytest.fixture
def triton():
    return pytest.importorskip("triton", reason="Triton cannot be imported here", exc_type=ImportError)


def run(environ, *command):
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]


@pytest.mark.parametrize(
    "interpret",
    [
        pytest.param("1", id="interpreter"),
        pytest.param(
            "0",
            id="cuda",
            marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")],
        ),
    ],
)
def test_the_sweeps_equal_the_reference(triton, interpret):
    """Red when: any of the cases is, see there."""
    run(os.environ | {"TRITON_INTERPRET": interpret}, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(CASES))


def test_plastic_works_without_triton():
    """Red when: a module of the library imports Triton, or what needs it, on its own account, or asking for it there
    is not refused in a sentence."""
    run(os.environ, "-c", WITHOUT)


def test_a_cpu_is_refused(triton):
    """Red when: ``backend="triton"`` is taken for torch's where there is no GPU."""
    with pytest.raises(ValueError, match="backend: the Triton step runs on cuda, got cpu"):
        plastic.PlasticRNN(3, 4, backend="triton")(torch.rand(5, 2, 3))


@pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="kernels are interpreted, not compiled")
@pytest.mark.parametrize("name", FLAVOURS)
def test_the_kernels_compile_for_a_gpu(triton, name, tmp_path, monkeypatch):
    """Red when: a kernel says what the interpreter takes and the compiler refuses, such as a loop that changes the
    type of what it carries."""
    from triton.backends.compiler import GPUTarget

    from plastic.kernels import triton_kernels

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    kernel = getattr(triton_kernels, name.split(",")[0])
    given = {"N": 200, "ROWS": 64, "COLUMNS": 16, **FLAVOURS[name]}
    dtype = given.pop("dtype")
    whole = {"first", "stop", "t", "batch", "alpha_r", "alpha_i", "alpha_j", "eta_r", "eta_j"}
    kinds = {"clamp": "*u8"} | dict.fromkeys(whole, "i32") | dict.fromkeys(given, "constexpr")
    signature = {argument: kinds.get(argument, f"*{dtype}") for argument in kernel.arg_names}
    source = triton.compiler.ASTSource(kernel, signature, given)
    made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"enable_fp_fusion": True})
    assert ".entry " + kernel.__name__ in made.asm["ptx"]
