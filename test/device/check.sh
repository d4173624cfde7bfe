#!/usr/bin/env bash
# Checks the trainer on a machine with a GPU: unpack the file of `npm run device:pack` and run this script in it. Needs
# python3 with PyTorch. Prints a JSON line per check; exits with 1 if one fails.
#   golden         logits, loss and gradients compared with PyTorch's values
#   families       tiny models of the Hugging Face families compared with transformers' values
#   train-briefly  losses and gradient norms of six steps, WebGPU compared with WASM
#   train          a training step on WebGPU compared with PyTorch on the same GPU, at two batch sizes
set -uo pipefail
cd "$(dirname "$0")/../.."
failed=0
check() {
  echo "== $*" >&2
  "$@" || { echo "{\"failed\": \"$*\"}"; failed=1; }
}
for backend in webgpu wasm; do
  check ./node test/dist/device/golden.js $backend
  check ./node test/dist/device/families.js $backend
  check ./node test/dist/support/train-briefly.js $backend
done
for batch in 32 256; do
  PLUMBLINE_PYTHON=${PLUMBLINE_PYTHON:-python3} check ./node test/dist/bench/train.js \
    --backends webgpu --rounds "${ROUNDS:-5}" --steps "${STEPS:-10}" --batch $batch
done
exit $failed
