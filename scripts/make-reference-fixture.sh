#!/usr/bin/env bash
# Makes crates/migrations/fixtures/reference-0.12.4.db again: a small database written by the original
# Open WebUI 0.12.4 itself, which the tests of crates/migrations open.
#
#   scripts/make-reference-fixture.sh [OUTPUT]
#
# OUI_REFERENCE_HOME   where the original is (or gets) installed, default ~/.cache/oui-reference (about 7 GB)
# FIXTURE_PORT         port of the original while it runs, default 8120; the scripted provider takes the next one
#
# The original is started on a new folder with a scripted OpenAI provider beside it,
# scripts/make_reference_fixture.py fills it through the HTTP API, then it is stopped and its database
# is checkpointed, compacted and copied.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
version=0.12.4
output=${1:-$here/../crates/migrations/fixtures/reference-$version.db}
home=${OUI_REFERENCE_HOME:-$HOME/.cache/oui-reference}
venv=$home/venv-$version
port=${FIXTURE_PORT:-8120}
provider_port=$((port + 1))

if [[ ! -x $venv/bin/open-webui ]]; then
  mkdir -p "$home"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet "open-webui==$version"
fi

work=$(mktemp -d)
server=
provider=
finish() {
  for pid in $server $provider; do
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  rm -rf "$work"
}
trap finish EXIT

mkdir "$work/data"
python3 "$here/make_reference_fixture.py" provider "$provider_port" &
provider=$!

(
  cd "$work"
  export DATA_DIR=$work/data WEBUI_SECRET_KEY=fixture-secret
  export OFFLINE_MODE=true HF_HUB_OFFLINE=1 RAG_EMBEDDING_MODEL_AUTO_UPDATE=false
  export ENABLE_OLLAMA_API=false CORS_ALLOW_ORIGIN='*' ANONYMIZED_TELEMETRY=false
  export OPENAI_API_BASE_URL=http://127.0.0.1:$provider_port/v1 OPENAI_API_KEY=sk-fixture
  exec "$venv/bin/open-webui" serve --host 127.0.0.1 --port "$port"
) >"$work/server.log" 2>&1 &
server=$!

if ! python3 "$here/make_reference_fixture.py" fill "http://127.0.0.1:$port"; then
  tail -n 40 "$work/server.log" >&2
  exit 1
fi

kill -INT "$server"
wait "$server" || true
server=

python3 "$here/make_reference_fixture.py" pack "$work/data/webui.db" "$output"
ls -l "$output" >&2
