#!/usr/bin/env bash
# Installs into .venv and runs every check: formatting, lint, types, doctests and tests.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh sample,convert,playground,test

ruff format --check .
ruff check .
mypy
# Most of the time goes into starting processes, one thread each: two files at a time.
python -m pytest --numprocesses=2 --dist=loadfile --durations=10 "$@"
