#!/usr/bin/env bash
# Builds what is missing and starts the server. Arguments go to `oui serve`, for example: ./start.sh --port 3000
#
# Needed: Rust (cargo) and a C compiler; python3 with pip for the web client, once, and for tools written in Python.
# Settings come from the environment or from a file .env in this folder, see .env.example. Data is kept in ./data
# (DATA_DIR); the secret that signs sessions in .webui_secret_key, which the server makes at its first start.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

oui=${CARGO_TARGET_DIR:-target}/release/oui

is_current() {
  [[ -x $oui ]] && [[ -z $(find Cargo.toml Cargo.lock crates -newer "$oui" -type f -print -quit) ]]
}

if ! is_current; then
  for tool in cargo cc; do
    command -v "$tool" >/dev/null || {
      echo "$tool was not found. Install Rust (rustup) and a C compiler (on Debian: apt-get install gcc)." >&2
      exit 1
    }
  done
  echo "Building the server; the first time takes some minutes." >&2
  cargo build --release --locked --package oui-server
  # Cargo leaves a binary alone that the changed files do not concern.
  touch "$oui"
fi

own_build() { [[ -n ${FRONTEND_BUILD_DIR:-} ]] || grep -qs '^ *\(export \)\? *FRONTEND_BUILD_DIR=.' .env; }

if ! own_build && ! "$oui" frontend install; then
  echo "The web client is not there, so only the API is served. Try again later with: $oui frontend install" >&2
fi

if [[ -z ${OUI_PYTHON:-} ]] && ! compgen -G "${DATA_DIR:-data}/python/bin/python" >/dev/null && ! "$oui" python install; then
  echo "Tools and functions that are written in Python will not run. Try again later with: $oui python install" >&2
fi

exec "$oui" serve "$@"
