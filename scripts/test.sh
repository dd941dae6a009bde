#!/usr/bin/env bash
# Installs into .venv and runs every check: formatting, lint, types, doctests and tests.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh sample,convert,playground,test

ruff format --check .
ruff check .
mypy
# Starting processes and waiting for them leaves two workers on two cores half idle: three files at a time.
python -m pytest --numprocesses=3 --dist=loadfile --no-loadscope-reorder --durations=10 "$@"
