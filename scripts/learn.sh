#!/usr/bin/env bash
# Installs into .venv and runs the three notebooks of scripts/examples, which are saved with their outputs.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh sample,convert,notebooks

python scripts/run_notebooks.py
