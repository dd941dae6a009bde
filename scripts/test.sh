#!/usr/bin/env bash
# Installs into .venv and runs every check: formatting, lint, types, doctests and tests. Arguments go to pytest. With
# --legs it runs only the numerical tests, with other instructions and threads.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh sample,convert,compress,playground,notebooks,test

# Three files at a time on two cores, as tests that start processes mostly wait.
tests() { python -m pytest --numprocesses=3 --dist=loadfile --no-loadscope-reorder "$@"; }

# No test may depend on which of two nearly equal values is the larger, as these decide: the CPU's instructions,
# TensorFlow's oneDNN, which is on elsewhere, and how many threads share a sum.
legs=(
  "AVX2        ONEDNN_MAX_CPU_ISA=AVX2  ATEN_CPU_CAPABILITY=avx2    XLA_FLAGS=--xla_cpu_max_isa=AVX2"
  "SSE4.1      ONEDNN_MAX_CPU_ISA=SSE41 ATEN_CPU_CAPABILITY=default XLA_FLAGS=--xla_cpu_max_isa=SSE4_2"
  "no_oneDNN   TF_ENABLE_ONEDNN_OPTS=0"
  "one_thread  OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1"
)
numerical=(
  tests/ops tests/layers tests/model tests/conversion tests/saved_model
  tests/programs/test_programs.py::test_train_evaluate_and_visualize_one_after_the_other
)

run_legs() {
  local leg name variables
  for leg in "${legs[@]}"; do
    read -r name variables <<<"$leg"
    if [ "$name" = AVX2 ] && ! grep -qw avx512f /proc/cpuinfo; then
      echo "== $name: as above, for this CPU has no more"
      continue
    fi
    SECONDS=0
    # Word by word: each is a variable.
    (export $variables && tests "${numerical[@]}")
    echo "== $name: $SECONDS s ($variables)"
  done
}

if [ "${1-}" = --legs ]; then
  run_legs
  exit
fi
ruff format --check .
ruff check .
codespell $(git ls-files "*.py" "*.md" "*.sh" "*.html" "*.js" "*.css")
mypy
tests --durations=10 "$@"
