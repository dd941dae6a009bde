#!/usr/bin/env bash
# From a fresh clone to pictures: installs into .venv, trains on 4,000 real digits, exports, draws.
# DECONV_AE_PYTHON names the Python for the environment; python3 by default.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/environment.sh sample

python scripts/train.py --preset=cmap1_pool4 --dataset=mnist_5k --epochs=30 \
  --export_dir=saved_models/demo --overwrite
python scripts/evaluate.py --model=saved_models/demo
python scripts/visualize.py --model=saved_models/demo --output_dir=pictures
