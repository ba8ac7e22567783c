#!/usr/bin/env bash
# Time and memory of the commands that gather from history, on logs of two sizes of the same applications.
#
# RECORDS=1000000   records of the larger log; the smaller has a fifth of them
# SPWATCH_BIN=…     a spwatch that is there already; otherwise one is built
set -euo pipefail
cd "$(dirname "$0")/../.."

command -v python3 >/dev/null 2>&1 || {
    echo "run.sh: python3 is missing: install Python 3.11 or later" >&2
    exit 1
}
if [ -z "${SPWATCH_BIN:-}" ]; then
    cargo build --release --locked --bin spwatch
    SPWATCH_BIN=${CARGO_TARGET_DIR:-target}/release/spwatch
fi
python3 benches/living/measure.py --spwatch "$SPWATCH_BIN" --work target/bench/living --records "${RECORDS:-1000000}"
