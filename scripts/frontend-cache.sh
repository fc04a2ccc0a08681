#!/usr/bin/env bash
# Makes sure the wheel with the official web client is in the tests' cache folder and prints its path.
#
#   scripts/frontend-cache.sh            -> ~/.cache/oui-test/open_webui-0.12.4-py3-none-any.whl
#
# The folder is $OUI_TEST_HOME (default ~/.cache/oui-test). The download, about 106 MB, goes through
# the user's own pip and its configuration, once; PYTHON names another Python than python3.
set -euo pipefail

version=0.12.4
cache=${OUI_TEST_HOME:-$HOME/.cache/oui-test}
wheel=$cache/open_webui-$version-py3-none-any.whl

if [[ ! -s $wheel ]]; then
  mkdir -p "$cache"
  # Downloaded beside its place and moved there, so that a broken download is never taken for the wheel.
  work=$(mktemp -d "$cache/.download-XXXXXX")
  trap 'rm -rf "$work"' EXIT
  echo "downloading the web client $version into $cache" >&2
  # Any Python can fetch this wheel when pip chooses as the Python it is made for.
  TMPDIR=$work "${PYTHON:-python3}" -m pip download --disable-pip-version-check --no-input \
    --no-deps --only-binary=:all: --python-version 3.11 --implementation cp \
    --dest "$work/wheel" "open-webui==$version" >&2
  mv "$work/wheel/$(basename "$wheel")" "$wheel"
fi
echo "$wheel"
