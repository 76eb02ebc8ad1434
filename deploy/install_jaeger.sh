#!/usr/bin/env bash
# Builds the Jaeger that the tests run against, from Go's module proxy, and prints where it is.
#
#     deploy/install_jaeger.sh        needs Go 1.26 or newer; ten minutes or more the first time
#
# One that is there already is never rebuilt: the one that JAEGER_BIN names, `jaeger` on PATH, or the one
# in the cache folder. A binary built this way does not know its own version, so the script notes it in a
# file beside it: jaeger.version. Everything but the path goes to standard error.
set -euo pipefail

# Jaeger 2.20.0; its tags for v2 are no Go module versions, a commit is.
commit=798e4b0fcf22609e381df764a01461affd813e1e
# The newest tagged module, for a proxy that has not the commit. It holds Jaeger 2.13.
module=github.com/jaegertracing/jaeger
tag=v1.76.0

say() { printf 'install_jaeger: %s\n' "$*" >&2; }

if [ -n "${JAEGER_BIN:-}" ]; then
  [ -x "$JAEGER_BIN" ] || { say "JAEGER_BIN=$JAEGER_BIN is no program: correct it or unset it."; exit 3; }
  echo "$JAEGER_BIN"
  exit 0
fi
if found=$(command -v jaeger); then
  echo "$found"
  exit 0
fi

folder=${XDG_CACHE_HOME:-$HOME/.cache}/trading-graph/bin
binary=$folder/jaeger
if [ -x "$binary" ]; then
  echo "$binary"
  exit 0
fi

command -v go >/dev/null || {
  say "Go is missing: install Go 1.26 or newer, or name a Jaeger 2 binary in JAEGER_BIN, and run this again."
  exit 3
}

mkdir -p "$folder"
work=$(mktemp -d "$folder/build.XXXXXX")
trap 'rm -rf "$work"' EXIT
flags=(-trimpath -ldflags "-s -w")

say "building Jaeger 2.20.0; ten minutes or more the first time."
if GOBIN=$work go install "${flags[@]}" "$module/cmd/jaeger@$commit" >&2; then
  version="2.20.0 (commit ${commit:0:12})"
else
  say "2.20.0 cannot be had here: building Jaeger 2.13.0 from the tagged module $tag instead."
  # `go install` refuses a module with a replace directive; built from its own folder in Go's module
  # cache it is checked by its own go.sum.
  source=$(cd "$work" && go mod download -json "$module@$tag" | sed -n 's/^\t"Dir": "\(.*\)",\{0,1\}$/\1/p')
  go build -C "$source" "${flags[@]}" -o "$work/jaeger" ./cmd/jaeger >&2
  version="2.13.0 (module $tag)"
fi

# The binary comes last and in one step: what lies at its place is always whole.
printf '%s\n' "$version" >"$folder/jaeger.version"
mv "$work/jaeger" "$binary"
say "built Jaeger $version."
echo "$binary"
