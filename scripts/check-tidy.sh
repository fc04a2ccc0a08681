#!/usr/bin/env bash
# Checks what neither compiler nor clippy sees; prints every fault.
#
#   scripts/check-tidy.sh
#
# - links and paths named in Markdown files exist, and every crate stands in ARCHITECTURE.md, which stays short
# - Rust files begin with a module paragraph (`//!`) and have at most 600 lines
# - shell scripts can be executed
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

faults=0
fault() {
  printf '%s\n' "$*"
  faults=$((faults + 1))
}
files() { git ls-files --cached --others --exclude-standard -- "$@" | while read -r file; do [[ ! -e $file ]] || echo "$file"; done; }

# shellcheck disable=SC2016
while read -r page; do
  folder=$(dirname "$page")
  while read -r link; do
    target=${link%%#*}
    [[ -z $target || -e $folder/$target ]] || fault "$page: the link to $target leads nowhere"
  done < <(grep -oE '\]\([^) ]+\)' "$page" | sed -E 's/^\]\(//; s/\)$//' | grep -vE '^[a-z]+:' || true)
  while read -r path; do
    [[ -e $path || -e $folder/$path ]] || fault "$page: there is no $path"
  done < <(grep -oE '`(crates|tests|docs|scripts|conformance|e2e|bench)/[a-z0-9_./-]+`' "$page" | tr -d '`' || true)
done < <(files '*.md')

for crate in crates/*/; do
  [[ ! -e $crate/Cargo.toml ]] || grep -q "\`$(basename "$crate")\`" ARCHITECTURE.md || fault "ARCHITECTURE.md: $crate is not in the code map"
done
(($(wc -l <ARCHITECTURE.md) <= 150)) || fault "ARCHITECTURE.md: longer than 150 lines"

while read -r file; do
  [[ $(head -c 3 "$file") == '//!' ]] || fault "$file: does not begin with a module paragraph"
  (($(wc -l <"$file") <= 600)) || fault "$file: longer than 600 lines"
done < <(files '*.rs')

while read -r file; do
  [[ $(head -c 2 "$file") != '#!' || -x $file ]] || fault "$file: is a script that cannot be executed"
done < <(files '*.sh' .ci/run)

((faults == 0)) || exit 1
echo "tidy"
