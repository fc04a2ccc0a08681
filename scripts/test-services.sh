#!/usr/bin/env bash
# Private PostgreSQL and Redis servers for the tests.
#
#   scripts/test-services.sh start    starts what is not running and prints the exports of `env`
#   scripts/test-services.sh env      prints `export OUI_TEST_POSTGRES_URL=... OUI_TEST_REDIS_URL=...`; fails when stopped
#   scripts/test-services.sh stop     stops both and removes their data
#
# Usual call: eval "$(scripts/test-services.sh start)"
#
# OUI_TEST_HOME    folder of data, sockets and logs. Default: below /dev/shm if there is a GiB of memory free, since
#                  making a database per test is ten times faster there; else ~/.cache/oui-test, and for root
#                  /var/tmp/oui-test (PostgreSQL does not run as root but as the user `postgres`, who cannot enter
#                  root's home)
# OUI_TEST_PG_BIN  folder of the PostgreSQL programs; default: the newest below /usr/lib/postgresql, else PATH
#
# OUI_TEST_SERVICES  which ones: `postgres`, `redis` or both (the default)
#
# Both listen on free ports of 127.0.0.1. Nothing is durable: fsync is off.
# On Debian the programs come with: apt-get install postgresql redis-server
set -euo pipefail

choose_home() {
  local memory free
  memory=/dev/shm/oui-test-$(id -u)
  free=$(df --output=avail -k /dev/shm 2>/dev/null | tail -n 1 || echo 0)
  if [[ -d $memory || (-w /dev/shm && ${free:-0} -ge 1048576) ]]; then
    printf '%s' "$memory"
  elif [[ $(id -u) -eq 0 ]]; then
    printf '/var/tmp/oui-test'
  else
    printf '%s/.cache/oui-test' "$HOME"
  fi
}

home=${OUI_TEST_HOME:-$(choose_home)}
pg_home=$home/postgres
pg_data=$pg_home/data
redis_home=$home/redis

say() { printf 'test-services: %s\n' "$*" >&2; }
fail() {
  say "$*"
  exit 1
}

# --- programs ---------------------------------------------------------------------------------------------------

pg_bin() {
  local folder
  if [[ -n ${OUI_TEST_PG_BIN:-} ]]; then
    folder=$OUI_TEST_PG_BIN
  else
    folder=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1 || true)
    [[ -n $folder ]] || folder=$(dirname "$(command -v initdb || true)")
  fi
  [[ -x $folder/initdb && -x $folder/pg_ctl ]] ||
    fail "PostgreSQL's initdb and pg_ctl were not found; install postgresql or set OUI_TEST_PG_BIN"
  printf '%s' "$folder"
}

# Runs a command as the user of the PostgreSQL server: ourselves, or `postgres` when we are root.
as_pg() {
  if [[ $(id -u) -eq 0 ]]; then
    (cd / && exec runuser -u postgres -- "$@")
  else
    "$@"
  fi
}

# --- ports ------------------------------------------------------------------------------------------------------

port_is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Prints the port kept in file $1, or keeps a new free one there.
port_of() {
  local port
  if [[ -s $1 ]]; then
    port=$(<"$1")
    if port_is_free "$port"; then
      printf '%s' "$port"
      return
    fi
  fi
  for _ in $(seq 100); do
    port=$((20000 + RANDOM % 10000))
    if port_is_free "$port"; then
      printf '%s' "$port" >"$1"
      printf '%s' "$port"
      return
    fi
  done
  fail "found no free port"
}

# --- PostgreSQL -------------------------------------------------------------------------------------------------

pg_running() { [[ -d $pg_data ]] && as_pg "$bin/pg_ctl" -D "$pg_data" status >/dev/null 2>&1; }

pg_init() {
  [[ -f $pg_data/PG_VERSION ]] && return
  say "creating a PostgreSQL cluster in $pg_data"
  local password=$pg_home/password
  printf 'oui\n' >"$password"
  [[ $(id -u) -ne 0 ]] || chown postgres: "$pg_home" "$password"
  # Loopback connections check the password, so that tests can see a wrong one refused.
  as_pg "$bin/initdb" -D "$pg_data" --username=oui --pwfile="$password" --auth-local=trust \
    --auth-host=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 --no-sync >"$pg_home/initdb.log" 2>&1 ||
    fail "initdb failed, see $pg_home/initdb.log"
}

pg_start() {
  mkdir -p "$pg_home"
  pg_init
  pg_running && return
  local port
  port=$(port_of "$pg_home/port")
  as_pg "$bin/pg_ctl" -D "$pg_data" -l "$pg_data/server.log" -w -t 60 start -o "-p $port -k $pg_data \
    -c listen_addresses=127.0.0.1 -c fsync=off -c full_page_writes=off -c synchronous_commit=off \
    -c max_connections=300 -c shared_buffers=64MB" >/dev/null ||
    fail "PostgreSQL did not start, see $pg_data/server.log"
  say "PostgreSQL is ready on port $port"
}

pg_stop() {
  pg_running || return 0
  as_pg "$bin/pg_ctl" -D "$pg_data" -m fast -w stop >/dev/null
  say "PostgreSQL is stopped"
}

# --- Redis ------------------------------------------------------------------------------------------------------

redis_running() {
  [[ -s $redis_home/port ]] &&
    [[ $(redis-cli -p "$(<"$redis_home/port")" config get dir 2>/dev/null | tail -n 1) == "$redis_home" ]]
}

redis_start() {
  command -v redis-server >/dev/null || fail "redis-server was not found; install redis-server"
  mkdir -p "$redis_home"
  redis_running && return
  local port
  port=$(port_of "$redis_home/port")
  redis-server --port "$port" --bind 127.0.0.1 --dir "$redis_home" --save '' --appendonly no --daemonize yes \
    --logfile "$redis_home/server.log" >/dev/null
  for _ in $(seq 100); do
    if redis_running; then
      say "Redis is ready on port $port"
      return
    fi
    sleep 0.1
  done
  fail "Redis did not start, see $redis_home/server.log"
}

redis_stop() {
  redis_running || return 0
  redis-cli -p "$(<"$redis_home/port")" shutdown nosave >/dev/null 2>&1 || true
  say "Redis is stopped"
}

# --- commands ---------------------------------------------------------------------------------------------------

services=${OUI_TEST_SERVICES:-postgres redis}
chosen() { [[ " $services " == *" $1 "* ]]; }

all_running() { { ! chosen postgres || pg_running; } && { ! chosen redis || redis_running; }; }

print_env() {
  ! chosen postgres || printf 'export OUI_TEST_POSTGRES_URL=postgres://oui:oui@127.0.0.1:%s/postgres\n' "$(<"$pg_home/port")"
  ! chosen redis || printf 'export OUI_TEST_REDIS_URL=redis://127.0.0.1:%s/0\n' "$(<"$redis_home/port")"
}

bin=$(pg_bin)
case ${1:-} in
  start)
    mkdir -p "$home"
    # One start at a time: two callers would both create the cluster.
    exec 9>"$home/lock"
    flock 9
    ! chosen postgres || pg_start 9>&-
    ! chosen redis || redis_start 9>&-
    print_env
    ;;
  env)
    all_running || fail "not running; use: eval \"\$(scripts/test-services.sh start)\""
    print_env
    ;;
  stop)
    ! chosen postgres || pg_stop
    ! chosen redis || redis_stop
    rm -rf "$pg_home" "$redis_home" "$home/lock"
    rmdir "$home" 2>/dev/null || true
    ;;
  *)
    fail "usage: scripts/test-services.sh start|stop|env"
    ;;
esac
