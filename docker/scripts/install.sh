#!/bin/sh
# Build environments while an image is built, from the lock files and by the same code as `make setup`: install.sh ENVIRONMENT...
# As root it also installs Java where the jobs need one. TORCH_INDEX_URL chooses torch's build.
set -eu
cd "$(dirname "$0")/../.."
PIP_NO_CACHE_DIR=1 PYTHONPATH=src:. python3 -m jobs.ops.setup --image "$@"
rm -rf /var/lib/apt/lists/*
