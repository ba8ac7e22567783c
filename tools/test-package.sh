#!/usr/bin/env bash
# Tests the package itself: it is made twice and must be the same, and its unpacked tree must pass the tests that speak
# the host's protocol. Needs what ./package.sh and ./test.sh need.
set -euo pipefail
cd "$(dirname "$0")/.."

zip=target/package/spwatch.zip
./package.sh
cp "$zip" "$zip.first"
# Linked again, from nothing of our own.
rm -rf target/package/build/x86_64-unknown-linux-gnu/release/{spwatch,deps/*spwatch*,.fingerprint/spwatch-*}
./package.sh >/dev/null
cmp "$zip.first" "$zip"
rm "$zip.first"
echo "made twice, the same bytes"

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
python3 tools/package/pack.py unzip "$zip" "$tree"
SPWATCH_TEST_PACKAGE=$tree cargo test --locked --test it host::
