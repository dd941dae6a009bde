"""Limits contestants to an instruction set of the CPU, and finds out which one TensorFlow then uses.

The limits are environment variables, which contestants' processes inherit. They must be set before any library is
loaded, because each library reads them once.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

NATIVE = "native"
ISAS = (NATIVE, "avx2", "sse41")

# Each library's variable. OpenVINO's oneDNN reads the first, too. OpenVINO's own kernels read the second, from release
# 2026.4.1 on.
_VARIABLES = {
    "avx2": {
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "OV_CPU_MAX_ISA": "AVX2",
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
    },
    "sse41": {
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "OV_CPU_MAX_ISA": "SSE41",
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2",
    },
}
UNLIMITED = (
    "in the suite inference, ONNX Runtime and LiteRT use all that the CPU has, because they have no setting for it"
)

# A convolution in TensorFlow. If oneDNN is on, it logs the instruction set that it runs with.
_PROBE = "import tensorflow as tf; tf.nn.conv2d(tf.ones((8, 32, 32, 16)), tf.ones((3, 3, 16, 16)), 1, 'SAME')"


def limit(isa: str) -> None:
    """Sets the variables that limit the instruction set; turns on TensorFlow's oneDNN unless its variable is set."""
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    if isa != NATIVE:
        # torch.compile's cache ignores the limit: with PyTorch 2.14.1, a run limited to AVX2 took code from the cache
        # that a run with AVX-512 had compiled, and the code gave NaN.
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(Path(tempfile.gettempdir(), f"torchinductor-{isa}"))
    for name, value in _VARIABLES.get(isa, {}).items():
        # XLA_FLAGS may hold other flags. Of repeated flags, the last counts.
        os.environ[name] = f"{os.environ.get(name, '')} {value}".strip() if name == "XLA_FLAGS" else value


def note(isa: str) -> str:
    """A sentence on the instruction set that was asked for, and one on what a TensorFlow process then uses."""
    limited = f"{isa} at most, but {UNLIMITED}"
    request = f"Instructions: {'all that the CPU has' if isa == NATIVE else limited}"
    probe = subprocess.run(
        [sys.executable, "-c", _PROBE],
        env={**os.environ, "ONEDNN_VERBOSE": "1", "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if probe.returncode:
        return f"{request}. What TensorFlow's oneDNN used is unknown: the process ended with status {probe.returncode}."
    match = re.search(r"cpu,isa:(.+)", probe.stdout)
    # Only a convolution counts: even when oneDNN is off, TensorFlow multiplies matrices with oneDNN.
    if match is None or ",exec,cpu,convolution," not in probe.stdout:
        return f"{request}. TensorFlow's oneDNN was off."
    return f"{request}. TensorFlow's oneDNN was on, and used {match[1].strip()}."
