#!/usr/bin/env bash
# Builds a real InfluxDB 2 server from the Go and Rust package registries, for machines where no binary can be had.
# Usage: deploy/influxdb/build.sh            -> prints the path of influxd; about five minutes on two cores, once a machine
#        deploy/influxdb/build.sh --cached   -> the same, or exit code 1 where it has yet to be built
# Needs go 1.21 or later, cargo, gcc and g++. The result is kept in $PLUMBLINE_CACHE (default ~/.cache/plumbline).
# The server's own web pages are not part of a build from the module; its HTTP API and Flux are.
set -euo pipefail
version=2.7.12
cache=${PLUMBLINE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/plumbline}
out=$cache/influxdb/$version
if [ -x "$out/influxd" ]; then
  echo "$out/influxd"
  exit
fi
[ "${1-}" != --cached ] || exit 1
for tool in go cargo gcc g++; do
  command -v "$tool" >/dev/null || {
    echo "Building influxd needs $tool, which is not installed. Or put an influxd 2.7 on PATH." >&2
    exit 1
  }
done
mkdir -p "$out"
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT

# Flux is written in Rust; InfluxData's pkg-config builds it and calls $CARGO for that. Two things of its crate stand in
# the way of a current compiler: its default feature "strict" makes warnings errors, and its rust-toolchain file asks
# for a release from years ago.
cat >"$work/cargo-flux" <<'CARGO'
#!/usr/bin/env bash
shift
export RUSTUP_TOOLCHAIN="${RUSTUP_TOOLCHAIN:-stable}" RUSTFLAGS="-Awarnings"
sed -i 's/^default = \["strict", "cffi"\]/default = ["cffi"]/;s/^default = \["strict"\]/default = []/' flux/Cargo.toml flux-core/Cargo.toml
exec cargo build "$@"
CARGO
chmod +x "$work/cargo-flux"
{
  echo "Building influxd $version, once; about five minutes on two cores ..."
  GOBIN=$work go install github.com/influxdata/pkg-config@v0.2.14
  cd "$work"
  source=$(go mod download -json "github.com/influxdata/influxdb/v2@v$version" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
  cp -r "$source" source
  chmod -R u+w source
  cd source
  # First on PATH, because the wrapper hands every other library on to the system's own pkg-config.
  PATH=$work:$PATH PKG_CONFIG=$work/pkg-config CARGO=$work/cargo-flux \
    go build -tags 'sqlite_foreign_keys,sqlite_json' -o "$work/influxd" ./cmd/influxd
  # In place in one move, so that a build cut short leaves nothing that looks finished.
  mv "$work/influxd" "$out/influxd"
} >&2
echo "$out/influxd"
