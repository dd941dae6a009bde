#!/usr/bin/env bash
# Installs into .venv, then runs the notebooks of scripts/examples and saves them with their outputs.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh sample,convert,notebooks

python scripts/run_notebooks.py
