#!/bin/sh
# Makes the Python that the PyTorch trainer's test looks for, once a machine: about 6 GB, because the registry's torch
# for Linux brings CUDA along.
set -eu
folder="$HOME/.cache/plumbline/python"
[ -x "$folder/bin/python" ] && "$folder/bin/python" -c 'import torch, transformers, socketio' 2>/dev/null && exit 0
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --no-cache-dir torch transformers 'python-socketio[client]'
