#!/usr/bin/env bash
# Runs the server from source and starts it anew when a source file changes. Arguments go to `oui serve`.
#
# Uses cargo-watch where it is installed, else looks at the files every second.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
export GLOBAL_LOG_LEVEL=${GLOBAL_LOG_LEVEL:-DEBUG}

if cargo watch --version >/dev/null 2>&1; then
  exec cargo watch --why --watch crates --watch Cargo.toml --exec "run --package oui-server -- serve $*"
fi

oui=${CARGO_TARGET_DIR:-target}/debug/oui
server=
stamp=$(mktemp)

stop() {
  if [[ -n $server ]]; then
    kill "$server" 2>/dev/null || true
    wait "$server" || true
    server=
  fi
}
finish() {
  stop
  rm -f "$stamp"
}
trap finish EXIT
trap 'exit 130' INT TERM

changed() { [[ -n $(find Cargo.toml Cargo.lock crates .env -newer "$stamp" -type f -print -quit 2>/dev/null) ]]; }

while true; do
  touch "$stamp"
  # A build that fails leaves the running server alone.
  if cargo build --package oui-server; then
    stop
    "$oui" serve "$@" &
    server=$!
  fi
  until changed; do sleep 1; done
done
