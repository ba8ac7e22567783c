#!/usr/bin/env bash
# Tries spwatch on the real Functions host, for a machine that has the Azure Functions Core Tools v4 (`func`):
# starts it with Azurite, sends a batch by the admin endpoint, and compares what the receiver gets with what
# `spwatch check` says. Leaves local.settings.json alone: everything happens in a folder of its own.
#
#   tools/try-func.sh              needs func, node and npm (for Azurite), curl, and Rust
#   FUNC_PORT=7171                 another port than 7071
#   AZURITE=running                uses the storage emulator that is there already
#   SPWATCH_EXECUTABLE=FILE        takes this binary instead of building one
set -euo pipefail
cd "$(dirname "$0")/.."

port=${FUNC_PORT:-7071}
sample=samples/2-stolen-secret.json
policy=policies/demo.toml

fail() {
    echo "try-func.sh: $1" >&2
    exit 1
}
need() {
    command -v "$1" >/dev/null || fail "$1 is missing: $2"
}
need func "npm install --global azure-functions-core-tools@4, or see https://aka.ms/azfunc-install"
need node "install Node.js 20 or later (https://nodejs.org)"
need curl "install curl"

executable=${SPWATCH_EXECUTABLE-}
if [ -z "$executable" ]; then
    need cargo "install Rust (https://rustup.rs)"
    cargo build --release --locked
    executable=target/release/spwatch
fi

app=$(mktemp -d)
func=
helpers=
cleanup() {
    if [ -n "$func" ]; then
        # The host heeds SIGINT, as from a terminal, and is a process below another: the whole group is told.
        kill -INT -- "-$func" 2>/dev/null || true
        for _ in $(seq 50); do
            kill -0 -- "-$func" 2>/dev/null || break
            sleep 0.1
        done
        kill -KILL -- "-$func" 2>/dev/null || true
    fi
    for process in $helpers; do kill "$process" 2>/dev/null || true; done
    rm -rf "$app"
}
trap cleanup EXIT

# What is deployed, and the settings that the README begins with.
./package.sh --list | while read -r file; do
    mkdir -p "$app/$(dirname "$file")"
    case $file in
    target/*) cp "$executable" "$app/$file" ;;
    *) cp "$file" "$app/$file" ;;
    esac
done
cp local.settings.json.example "$app/local.settings.json"

if [ "${AZURITE-}" != running ]; then
    tools/azurite.sh --install
    tools/azurite.sh --location "$app/azurite" >"$app/azurite.log" 2>&1 &
    helpers="$helpers $!"
fi

: >"$app/receiver.log"
node tools/local/receiver.mjs 0 "$app/received" >"$app/receiver.log" &
helpers="$helpers $!"
for _ in $(seq 100); do
    receiver=$(sed -n 's/^listening on //p' "$app/receiver.log")
    [ -z "$receiver" ] || break
    sleep 0.1
done
[ -n "$receiver" ] || fail "the receiver did not start"

# The environment beats local.settings.json (Azure/azure-functions-core-tools, StartHostAction.cs).
export SOC_WEBHOOK_URL="${receiver}soc" SPWATCH_POLICY="$policy" SPWATCH_STATE="$app/state" SPWATCH_LOG=info
set -m # a process group of its own
(cd "$app" && exec func start --port "$port") >"$app/func.log" 2>&1 &
func=$!
set +m
give_up() {
    echo "--- the last lines of func start" >&2
    tail -n 40 "$app/func.log" >&2
    fail "$1"
}

host=http://127.0.0.1:$port
echo "waiting for the host on $host (the first time, it fetches its extensions)"
for second in $(seq 300); do
    if curl --silent --fail "$host/admin/host/status" 2>/dev/null | grep -q '"state" *: *"Running"'; then break; fi
    kill -0 "$func" 2>/dev/null || give_up "func start has ended"
    [ "$second" -lt 300 ] || give_up "the host was not running within five minutes"
    sleep 1
done

# One event, as a string: that is what the admin endpoint takes.
node -e 'console.log(JSON.stringify({ input: require("fs").readFileSync(process.argv[1], "utf8") }))' "$sample" |
    curl --silent --show-error --output /dev/null --write-out '%{http_code}' \
        --header 'content-type: application/json' --data-binary @- "$host/admin/functions/SignIns" >"$app/code"
[ "$(cat "$app/code")" = 202 ] || give_up "the admin endpoint answered $(cat "$app/code"), expected 202"
echo "sent $sample to SignIns"

# What `check` raises for the same events is what must arrive. Its exit code 10 says that there is something.
"$executable" check --policy "$policy" --format json "$sample" >"$app/check.json" 2>/dev/null || [ $? -eq 10 ]
ids() { node -e "$1" "$2" | LC_ALL=C sort -u; }
expected=$(ids 'for (const a of JSON.parse(require("fs").readFileSync(process.argv[1], "utf8")).alerts) console.log(a.id)' \
    "$app/check.json")
[ -n "$expected" ] || fail "spwatch check raises nothing for $sample"
received=
for second in $(seq 150); do
    received=$(ids 'const fs = require("fs"); const f = process.argv[1];
        for (const line of fs.existsSync(f) ? fs.readFileSync(f, "utf8").split("\n").filter(Boolean) : [])
          console.log(JSON.parse(line).id)' "$app/received")
    [ "$received" != "$expected" ] || break
    [ "$second" -lt 150 ] || give_up "expected the alerts
$expected
and received
${received:-none}"
    sleep 1
done
echo "received the alerts that spwatch check raises:"
echo "$received"

status=$(curl --silent --output "$app/status.json" --write-out '%{http_code}' "$host/api/Status")
grep -q '"schema" *: *"spwatch/status/v1"' "$app/status.json" || give_up "Status answered $status, and no status"
echo "Status answers $status"
echo "all is as it should be"
