#!/usr/bin/env bash
# From nothing to a picture: sets hpcsim up, runs configs/quickstart.toml on two ranks and plots the result.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/setup.sh
. scripts/env.sh

mpirun --oversubscribe --bind-to none -n 2 hpcsim run configs/quickstart.toml </dev/null
hpcsim plot runs/quickstart
