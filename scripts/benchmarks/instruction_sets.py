"""Which instructions of the CPU all contestants may use, and which they then do.

Set in the environment, which contestants' processes inherit, before any library is loaded: each asks once.
"""

import os
import re
import subprocess
import sys

NATIVE = "native"
ISAS = (NATIVE, "avx2", "sse41")

# What each library reads. OpenVINO's oneDNN reads the first; its own kernels the second, in releases after 2026.4.
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
UNLIMITED = "ONNX Runtime and LiteRT, which have no such setting, use what the CPU has"

# A convolution in TensorFlow, of which its oneDNN tells what it runs it with, if it is on.
_PROBE = "import tensorflow as tf; tf.nn.conv2d(tf.ones((8, 32, 32, 16)), tf.ones((3, 3, 16, 16)), 1, 'SAME')"


def limit(isa: str) -> None:
    """Sets the environment: the instructions that libraries may use, and TensorFlow's oneDNN on, unless the user has
    said otherwise."""
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    for name, value in _VARIABLES.get(isa, {}).items():
        # XLA has other flags in the same variable, of which the last counts.
        os.environ[name] = f"{os.environ.get(name, '')} {value}".strip() if name == "XLA_FLAGS" else value


def note(isa: str) -> str:
    """A line that says what was asked for and what a process of TensorFlow then runs."""
    asked = "Instructions: all that the CPU has" if isa == NATIVE else f"Instructions: {isa} at most; {UNLIMITED}"
    verbose = subprocess.run(
        [sys.executable, "-c", _PROBE],
        env={**os.environ, "ONEDNN_VERBOSE": "1", "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    ).stdout
    found = re.search(r"cpu,isa:(.+)", verbose)
    # Off, TensorFlow still multiplies matrices by it.
    if found is None or ",exec,cpu,convolution," not in verbose:
        return f"{asked}. TensorFlow's oneDNN was off."
    return f"{asked}. TensorFlow's oneDNN was on, and used {found[1].strip()}."
