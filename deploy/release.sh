#!/usr/bin/env bash
# Makes a release out of a clean checkout of a tag: the binary, the viewer of models, manual pages and completions, a .deb, what is in it
# (SBOM), and checksums of all. Needs a Rust toolchain, a C compiler, Node, python3 and `cargo install --locked cargo-deb`.
#
#     git checkout v0.1.0 && deploy/release.sh dist/
#
# The image is made by deploy/docker/Dockerfile, which says how. What is made here is for the platform it is made on.
set -euo pipefail
out=${1:?"where to? deploy/release.sh FOLDER"}
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$(dirname "$0")/.."

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
[ -z "$(git status --porcelain)" ] || { echo "release: there are changes that are in no commit" >&2; exit 1; }
[ "$(git describe --tags --exact-match 2>/dev/null)" = "v$version" ] || echo "release: note: this commit is not tagged v$version" >&2
# Dates in archives are the commit's, so that the same commit makes the same files.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH

cargo build --locked --profile dist --bin tidegate
target=${CARGO_TARGET_DIR:-target}
program=$target/dist/tidegate
# Where cargo-deb looks for them, whatever the target folder is.
kit=target/kit
rm -rf "$kit" && mkdir -p "$kit/completions"
console/viewer/build.sh "$kit/viewer"
"$program" man "$kit/man"
gzip -9n "$kit"/man/*
for shell in bash zsh fish; do "$program" completions "$shell" >"$kit/completions/tidegate.$shell"; done

platform=$(rustc -vV | sed -n 's/^host: //p')
archive=tidegate-$version-$platform
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
mkdir "$stage/$archive"
cp "$program" gateway.toml README.md "$stage/$archive"
cp -r policies docs deploy "$kit/viewer" "$kit/man" "$kit/completions" "$stage/$archive"
tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner -C "$stage" -c "$archive" | gzip -9n >"$out/$archive.tar.gz"

cargo deb --no-build --no-strip --profile dist --output "$out"
deploy/sbom.py >"$out/tidegate-$version.cdx.json"
(cd "$out" && sha256sum -- *.tar.gz *.deb *.cdx.json >SHA256SUMS)
echo "release: $version for $platform is in $out; sign SHA256SUMS"
