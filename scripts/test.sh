#!/usr/bin/env bash
# Installs into .venv and runs every check: formatting, lint, types, doctests and tests.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh sample,convert,playground,test

ruff format --check .
ruff check .
mypy
python -m pytest --durations=10 "$@"
