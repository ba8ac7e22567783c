#!/usr/bin/env bash
# Measures how the time of `spwatch check` grows, and draws it.
#
# QUICK=1               fewer points, fewer records
# RECORDS=200000        records where something else than records grows
# OUT=docs/performance  where growth.tsv and the plots go
# SPWATCH_BIN=…         a spwatch that is there already; otherwise one is built
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

if [ -n "${QUICK:-}" ]; then
    quick=(--quick --records "${RECORDS:-50000}")
else
    quick=(--records "${RECORDS:-200000}")
fi
python3 benches/growth/growth.py --spwatch "$SPWATCH_BIN" --work target/bench --out "${OUT:-docs/performance}" "${quick[@]}"
