#!/usr/bin/env bash
# Runs the reference server (Open WebUI, from PyPI) for recordings and side-by-side looks.
#
#   reference.sh serve [PORT] [DATA_DIR]   one server, environment from the caller
#   reference.sh host                      many short-lived servers, steered over stdin (see reference_host.py)
#
# The first call installs it into $OUI_REFERENCE_HOME (default ~/.cache/oui-reference; about 7 GB).
set -euo pipefail
version=0.12.4
home=${OUI_REFERENCE_HOME:-$HOME/.cache/oui-reference}
venv=$home/venv-$version
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

if [[ ! -x $venv/bin/open-webui ]]; then
  mkdir -p "$home"
  python3 -m venv "$venv" >&2
  "$venv/bin/pip" install --quiet uv >&2
  "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" "open-webui==$version" >&2
fi

case ${1:-serve} in
  serve)
    port=${2:-8081}
    data=${3:-$(mktemp -d)}
    mkdir -p "$data"
    cd "$data"
    export DATA_DIR=$data WEBUI_SECRET_KEY=${WEBUI_SECRET_KEY:-reference-secret}
    export OFFLINE_MODE=${OFFLINE_MODE:-true} HF_HUB_OFFLINE=1
    exec "$venv/bin/open-webui" serve --host 127.0.0.1 --port "$port"
    ;;
  host)
    # Nothing of the caller's environment may leak into a recording.
    exec env -i PATH="$venv/bin:/usr/local/bin:/usr/bin:/bin" HOME="$HOME" LANG=C.UTF-8 OFFLINE_MODE=true HF_HUB_OFFLINE=1 \
      "$venv/bin/python" "$here/reference_host.py" "$home/modules-$version.txt" "$home/empty-$version.db"
    ;;
  *)
    echo "usage: reference.sh serve [PORT] [DATA_DIR] | host" >&2
    exit 2
    ;;
esac
