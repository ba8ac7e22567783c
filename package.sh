#!/usr/bin/env bash
# Builds spwatch as the Functions host runs it, and zips the function app: target/package/spwatch.zip.
# Needs Rust (by rustup) and Python 3.10 or later with pip; everything else is fetched, pinned.
#
#   ./package.sh           builds and zips
#   ./package.sh --list    says which files the zip holds
#   ./package.sh --check   says whether what lies here is what was zipped: the Core Tools publish what lies here
set -euo pipefail
cd "$(dirname "$0")"

# The oldest glibc that Rust's standard library runs on, and older than that of any image of the Functions host: built
# against it, the binary runs on each of them. A static musl binary would too, but its allocator slows threads down.
target=x86_64-unknown-linux-gnu
glibc=2.17

work=target/package
executable=target/release/spwatch # as host.json has it

# Exactly what the host needs. `.funcignore` says the same to the Core Tools.
files() {
    echo host.json
    ls -- */function.json
    echo "$executable"
    for file in policy.toml feeds.lock; do if [ -f "$file" ]; then echo "$file"; fi; done
    if [ -d feeds ]; then find feeds -type f; fi
    find policies -type f
}

fail() {
    echo "package.sh: $1" >&2
    exit 1
}

case "${1-}" in
--list)
    files | LC_ALL=C sort
    exit 0
    ;;
--check)
    [ -d "$work/tree" ] || fail "nothing was packaged yet: run ./package.sh"
    files | while read -r file; do
        cmp -s "$file" "$work/tree/$file" || fail "$file is not what was packaged: run ./package.sh again"
    done
    [ ! -e "$executable.d" ] || fail "$executable.d would be published: run ./package.sh again"
    echo "what lies here is what was packaged"
    exit 0
    ;;
"") ;;
*) fail "$1 is unknown: there are --list and --check" ;;
esac

command -v cargo >/dev/null || fail "cargo is missing: install Rust (https://rustup.rs)"
command -v python3 >/dev/null || fail "python3 is missing: install Python 3.10 or later, with pip"
python3 -m pip --version >/dev/null 2>&1 || fail "pip is missing: install it (Debian: apt-get install python3-pip)"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || fail "python3 is older than 3.10"

# The standard library of the target, and the linker.
if [ ! -d "$(rustc --print target-libdir --target "$target")" ]; then
    rustup target add "$target"
fi
tools=$work/tools
mkdir -p "$work"
if ! cmp -s tools/package/requirements.txt "$tools/installed.txt"; then
    rm -rf "$tools"
    PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: \
        --target "$tools" --requirement tools/package/requirements.txt
    cp tools/package/requirements.txt "$tools/installed.txt"
fi
echo "building for $target with glibc $glibc or later: cargo-zigbuild, with the linker of zig" \
    "$("$tools/ziglang/zig" version), $(rustc --version)"

# No path of this machine is in the binary: with the same compiler the same source gives the same bytes wherever it
# lies. The zip's bytes depend on the zlib of Python, too.
registry=${CARGO_HOME:-$HOME/.cargo}/registry/src
sysroot=$(rustc --print sysroot)
# The flags of CARGO_ENCODED_RUSTFLAGS stand apart by U+001F, so that a path may have blanks.
printf -v remap '%s\x1f' "--remap-path-prefix=$PWD=/spwatch" "--remap-path-prefix=$registry=/crates" \
    "--remap-path-prefix=$sysroot=/rust"
commit=
if git rev-parse --verify --quiet HEAD >/dev/null 2>&1; then
    commit=$(git rev-parse --short=12 HEAD)
    [ -z "$(git status --porcelain)" ] || commit+=+
fi
env ${commit:+SPWATCH_COMMIT="$commit"} CARGO_ENCODED_RUSTFLAGS="${remap%$'\x1f'}" SOURCE_DATE_EPOCH=0 ZERO_AR_DATE=1 \
    CARGO_ZIGBUILD_ZIG_PATH="$PWD/$tools/ziglang/zig" PATH="$PWD/$tools/bin:$PATH" \
    cargo zigbuild --quiet --release --locked --bin spwatch --target "$target.$glibc" --target-dir "$work/build" \
    --config 'profile.release.strip="symbols"'
built=$work/build/$target/release/spwatch

needs=$(python3 tools/package/pack.py glibc "$built")
[ "$(printf '%s\n' "$needs" "$glibc" | sort -V | tail -1)" = "$glibc" ] ||
    fail "the binary asks for glibc $needs, which is later than $glibc"

# Where host.json and the Core Tools look for it. Its list of sources would be published with it, and is of no use.
mkdir -p "$(dirname "$executable")"
install -m 755 "$built" "$executable"
rm -f "$executable.d"

if [ "$(uname -sm)" = "Linux x86_64" ]; then
    echo "built: $("$executable" --version)"
    if [ -f policy.toml ]; then
        "$executable" validate --policy policy.toml >&2 || fail "policy.toml is not valid: nothing was packaged"
    fi
fi
if [ ! -f policy.toml ]; then
    echo "policy.toml is not here: the package holds the policies of policies/ alone, and the app setting" \
        "SPWATCH_POLICY must say which one it is, or where yours lies (az://spwatch-policy/policy.toml)"
fi

tree=$work/tree
rm -rf "$tree"
files | while read -r file; do
    mkdir -p "$tree/$(dirname "$file")"
    cp -p "$file" "$tree/$file"
done
zip=$work/spwatch.zip
python3 tools/package/pack.py zip "$tree" "$zip.new"
mv "$zip.new" "$zip"

digest() { python3 -c 'import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' "$1"; }
size() { python3 -c 'import os, sys; print(f"{os.path.getsize(sys.argv[1]) / 1048576:.1f} MiB")' "$1"; }
echo "$zip: $(size "$zip"), $(files | wc -l | tr -d ' ') files, the binary $(size "$executable")"
echo "highest glibc symbol: ${needs:-none}"
echo "sha256 $(digest "$zip"), of the binary $(digest "$executable")"
