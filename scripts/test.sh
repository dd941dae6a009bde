#!/usr/bin/env bash
# Installs into .venv and runs every check but the long tests: formatting, lint, spelling, types, doctests and tests.
# Arguments go to pytest. With --legs it runs only the numerical tests, in four runs called legs: with AVX2, with
# SSE4.1, without oneDNN, and on one thread; or only in the legs whose names follow --legs.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh sample,convert,compress,playground,notebooks,test

# Three workers on two cores, because tests that wait for processes would leave two workers half idle. A worker that
# crashes is not started again: pytest-xdist would repeat the crash, and once waited for ever.
tests() { python -m pytest --numprocesses=3 --max-worker-restart=0 --dist=loadfile --no-loadscope-reorder "$@"; }

# Which of two nearly equal values comes out larger depends on the CPU's instructions, on TensorFlow's oneDNN, and on
# the number of threads that share a sum. No test may depend on it.
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

# Runs the legs with the given names; all legs if none is given. A leg that fails does not stop the others.
run_legs() {
  local leg name variables result failed=() names="${legs[*]%% *}"
  for name in "$@"; do
    [[ " $names " == *" $name "* ]] || { echo "error: --legs: unknown leg $name; choose from $names" >&2; exit 2; }
  done
  for leg in "${legs[@]}"; do
    read -r name variables <<<"$leg"
    [ $# = 0 ] || [[ " $* " == *" $name "* ]] || continue
    if [ "$name" = AVX2 ] && ! grep -qw avx512f /proc/cpuinfo; then
      echo "== AVX2: skipped, because the tests without --legs use AVX2 on this CPU, which has no AVX-512"
      continue
    fi
    SECONDS=0
    result=passed
    # Not quoted: each word is a variable.
    (export $variables && tests "${numerical[@]}") || { result=FAILED; failed+=("$name"); }
    echo "== $name: $result in $SECONDS s ($variables)"
  done
  if [ ${#failed[@]} -gt 0 ]; then
    echo "error: failed legs: ${failed[*]}; run one by bash scripts/test.sh --legs NAME" >&2
    return 1
  fi
}

if [ "${1-}" = --legs ]; then
  run_legs "${@:2}"
  exit
fi
ruff format --check .
ruff check .
codespell $(git ls-files "*.py" "*.md" "*.sh" "*.html" "*.js" "*.css")
mypy
tests --durations=10 "$@"
