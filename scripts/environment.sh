# demo.sh, learn.sh and test.sh source this file. It creates or reuses .venv, installs the project with the extras in
# $1, and activates .venv. Installing again takes seconds.
extras=$1
[ -x .venv/bin/python ] || "${DECONV_AE_PYTHON:-python3}" -m venv .venv
source .venv/bin/activate
python -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  { echo "error: Python 3.11 or later is needed; set DECONV_AE_PYTHON to one and delete .venv" >&2; exit 2; }
python -m pip install --quiet --disable-pip-version-check --editable ".[$extras]"
# On CPUs without AVX512_VNNI TensorFlow disables oneDNN, and convolutions take up to five times as long.
export TF_ENABLE_ONEDNN_OPTS="${TF_ENABLE_ONEDNN_OPTS:-1}"
