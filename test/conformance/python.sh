#!/bin/sh
# Makes the Python of the PyTorch trainer's test, once per machine: about 6 GB, because PyPI's torch for Linux includes
# CUDA. An incomplete environment does not count.
set -eu
folder="$HOME/.cache/plumbline/python"
[ -x "$folder/bin/python" ] && "$folder/bin/python" -c 'import torch, transformers, socketio' 2>/dev/null && exit 0
mkdir -p "$folder"
free=$(df -Pk "$folder" | awk 'NR == 2 { print int($4 / 1000000) }')
if [ "$free" -lt 20 ]; then
  echo "$folder needs 20 GB of free disk space during installation, and has $free." >&2
  exit 1
fi
trap 'rm -rf "$folder"' EXIT INT TERM
python3 -m venv --clear "$folder"
"$folder/bin/pip" install --quiet --no-cache-dir torch transformers 'python-socketio[client]'
"$folder/bin/python" -c 'import torch, transformers, socketio'
trap - EXIT
