#!/usr/bin/env bash
# Loads `spwatch serve` as the Functions host would, and prints what it measured, as Markdown.
#
#   benches/handler/run.sh           start-up, saturation, latency at half load, memory; about six minutes
#   benches/handler/run.sh soak      half load for SOAK seconds, and whether memory stays flat
#
# Settings, from the environment: DURATION (seconds of a round, 5), ROUNDS (3), RECORDS (100000),
# SHAPES ("binary string parsed"), STARTS (7), CONNECTIONS (4), SOAK (600), SERVER_CORE (0),
# CLIENT_CORE (1), PINNED (1; with 0 the server has all cores), SPWATCH_LOG (warn), SPWATCH_BIN (a
# binary to measure; without it, this repository is built).
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
root="$here/../.."

say() { echo "run.sh: $*" >&2; }

command -v cargo >/dev/null 2>&1 || {
    say "cargo is missing: install Rust (https://rustup.rs)"
    exit 1
}
[ -r /proc/self/stat ] || {
    say "CPU time and memory are read from /proc: this runs on Linux only"
    exit 1
}

# The floor is only a floor with spwatch's own HTTP stack.
version() { grep -A1 "^name = \"$2\"\$" "$1/Cargo.lock" | sed -n 's/^version = "\(.*\)"$/\1/p'; }
for name in axum axum-core hyper hyper-util http-body-util tokio; do
    [ "$(version "$root" "$name")" = "$(version "$here" "$name")" ] || {
        say "the floor's $name is not spwatch's: cargo update -p $name --precise $(version "$root" "$name")"
        exit 1
    }
done

if [ -z "${SPWATCH_BIN:-}" ]; then
    cargo build --release --locked --manifest-path "$root/Cargo.toml" --bin spwatch >&2
    SPWATCH_BIN="${CARGO_TARGET_DIR:-$root/target}/release/spwatch"
fi
cargo build --release --locked --manifest-path "$here/Cargo.toml" >&2
program="${CARGO_TARGET_DIR:-$here/target}/release/handler-load"
[ -x "$SPWATCH_BIN" ] || {
    say "there is no program $SPWATCH_BIN"
    exit 1
}

export SPWATCH_BIN
CLK_TCK="$(getconf CLK_TCK 2>/dev/null || echo 100)"
export CLK_TCK
server="${SERVER_CORE:-0}"
client="${CLIENT_CORE:-1}"
if [ "${PINNED:-1}" = 0 ]; then
    exec "$program" "$@"
elif ! command -v taskset >/dev/null 2>&1; then
    say "taskset is missing (it comes with util-linux): nothing is pinned, the server has all cores"
    PINNED=0 exec "$program" "$@"
elif ! { taskset -c "$server" true && taskset -c "$client" true; } 2>/dev/null; then
    say "cores $server and $client cannot both be had: nothing is pinned, the server has all cores"
    PINNED=0 exec "$program" "$@"
fi
PINNED=1 exec taskset -c "$client" "$program" "$@"
