#!/usr/bin/env bash
# Runs every test. Needs Rust (rustup's stable toolchain), a C compiler and Node (for Azurite, the storage emulator);
# cargo and npm fetch the rest.
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
need node "install Node.js 20 or later (https://nodejs.org)"
need npm "install npm, which comes with Node.js"

tools/azurite.sh --install

# Snapshots are compared, never rewritten.
export INSTA_UPDATE=no
cargo test --locked
