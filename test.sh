#!/usr/bin/env bash
# Runs every test. Needs Rust (rustup's stable toolchain) and a C compiler; cargo fetches the rest.
set -euo pipefail
cd "$(dirname "$0")"

need() {
    command -v "$1" >/dev/null 2>&1 || {
        echo "test.sh: $1 is missing: $2" >&2
        exit 1
    }
}
need cargo "install Rust (https://rustup.rs)"
need cc "install a C compiler (the TLS library builds with it), for example build-essential"

# Snapshots are compared, never rewritten.
export INSTA_UPDATE=no
cargo test --locked
