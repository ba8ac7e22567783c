#!/usr/bin/env bash
# Compares spwatch with its peers, a large policy with a small one, and many records with few.
#
# ROUNDS=7              rounds of everybody
# RECORDS=200000        records in the log
# MANY_RECORDS=2000000  records in the log that shows how memory grows; it is deleted again
# SPWATCH_BIN=…         a spwatch that is there already; otherwise one is built
# VENV=…                where Python's packages go
set -euo pipefail
cd "$(dirname "$0")/../.."

rounds=${ROUNDS:-7}
records=${RECORDS:-200000}
many_records=${MANY_RECORDS:-2000000}
work=target/bench
venv=${VENV:-$work/venv}
peers=benches/peers
mkdir -p "$work"

need() {
    command -v "$1" >/dev/null 2>&1 || {
        echo "run.sh: $1 is missing: $2" >&2
        exit 1
    }
}
need python3 "install Python 3.11 or later, with venv"
need cargo "install Rust (https://rustup.rs)"
need cc "install a C compiler, for example build-essential: py-radix is built from source"

if [ -z "${SPWATCH_BIN:-}" ]; then
    cargo build --release --locked --bin spwatch
    SPWATCH_BIN=${CARGO_TARGET_DIR:-target}/release/spwatch
fi
cargo build --release --locked --manifest-path "$peers/naive/Cargo.toml" --target-dir "$work/naive"

[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$peers/requirements.txt"

data() { # NAME OPTIONS…: makes target/bench/NAME, and reads its log once, so that nobody has to wait for the disk
    python3 "$peers/generate.py" --out "$work/$1" "${@:2}"
    cat "$work/$1/data.ndjson" >/dev/null
}
measure() {
    python3 "$peers/measure.py" "$1" --work "$work" --spwatch "$SPWATCH_BIN" "${@:2}"
}

data default --records "$records"
data subset --records "$((records / 20))"
measure peers --rounds "$rounds" --data "$work/default" --subset "$work/subset" \
    --naive "$work/naive/release/naive" --python "$venv/bin/python"

data large --records "$records" --apps 1 --ranges 50000
measure policies --rounds "$rounds" --small "$work/default" --large "$work/large"

trap 'rm -rf "$work/many"' EXIT
data many --records "$many_records"
measure memory --rounds 3 --few "$work/default" --many "$work/many"
