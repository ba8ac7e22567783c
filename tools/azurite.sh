#!/usr/bin/env bash
# Azurite, Azure's storage emulator, as tests/azurite locks it: installs it once under target/, and again when the lock
# changes; then starts it with the given arguments, in front.
#
#   tools/azurite.sh                       on the usual ports, with its files in .azurite
#   tools/azurite.sh --install             installs it, no more
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
installed=$root/target/azurite

if ! cmp -s "$root/tests/azurite/package-lock.json" "$installed/installed-lock.json"; then
    command -v npm >/dev/null || {
        echo "azurite.sh: npm is missing: install Node.js 20 or later (https://nodejs.org)" >&2
        exit 1
    }
    mkdir -p "$installed"
    cp "$root/tests/azurite/package.json" "$root/tests/azurite/package-lock.json" "$installed"
    npm ci --prefix "$installed" --no-audit --no-fund --loglevel=error
    cp "$root/tests/azurite/package-lock.json" "$installed/installed-lock.json"
fi
[ "${1-}" != --install ] || exit 0
[ $# -gt 0 ] || set -- --location "$root/.azurite"
exec node "$installed/node_modules/azurite/dist/src/azurite.js" --silent --skipApiVersionCheck --disableTelemetry "$@"
