#!/bin/sh
# Starts the built-in trainer with small steps:
#   npm run conformance -- --trainer test/conformance/built-in-trainer.sh
set -eu
cd "$(dirname "$0")/../.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
(umask 077 && printf %s "$PLUMBLINE_TOKEN" > "$folder/token")
node server/dist/cli.js train --hub "$PLUMBLINE_HUB" --token-file "$folder/token" --data-dir "$folder" --config \
  '{"name":"Conformance","steps":100000,"batchSize":1,"probeEverySteps":100000,"checkpointEverySteps":100000}'
