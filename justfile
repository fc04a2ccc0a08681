# Short names for what is done often; `just` alone lists them. The commands work without just, too.

export CARGO_TARGET_DIR := env("CARGO_TARGET_DIR", env("OUI_TARGET_DIR", env("HOME") / ".cache/oui-target"))

_list:
    @just --list --unsorted

# start the release build
start *arguments:
    ./start.sh {{ arguments }}

# run from source, again at every change
dev *arguments:
    ./dev.sh {{ arguments }}

# everything but the browser tests
test:
    ./test.sh fast

# all tests, as CI runs them
test-all:
    ./test.sh

# one crate's tests, for example: just test-crate chat
test-crate crate *arguments:
    eval "$(scripts/test-services.sh start)" && cargo test --package oui-{{ crate }} {{ arguments }}

# formatting, clippy, tidiness
lint:
    ./test.sh --only lint

# write the formatting
fmt:
    cargo fmt --all

# licences and sources of the dependencies, spelling (cargo-deny and typos have to be installed)
audit:
    cargo deny check licenses bans sources
    typos

# the replay of what the reference answered, for example: just conformance auths
conformance *only:
    OUI_SCENARIOS={{ replace(only, " ", ",") }} cargo test --package oui-tests conformance

# the browser tests, for example: just e2e core
e2e *groups:
    E2E_GROUPS={{ replace(groups, " ", ",") }} ./test.sh --only e2e

# this server and the reference under the same load, for example: just bench --only reads
bench *arguments: bench-build
    "$CARGO_TARGET_DIR/release/oui-bench" --oui "$CARGO_TARGET_DIR/release/oui" --reference conformance/reference.sh --provider "$CARGO_TARGET_DIR/release/oui-fake-provider" {{ arguments }}

# this server alone under load
bench-ours *arguments: bench-build
    "$CARGO_TARGET_DIR/release/oui-bench" --oui "$CARGO_TARGET_DIR/release/oui" --provider "$CARGO_TARGET_DIR/release/oui-fake-provider" {{ arguments }}

[private]
bench-build:
    cargo build --release --package oui-server --package oui-fake-provider --package oui-bench

# every route with its policy
routes:
    cargo run --quiet --package oui-server -- routes

# write .env.example again, after a change in crates/config
env-example:
    cargo run --quiet --package oui-server -- env-example > .env.example

# the diagrams as pictures beside their sources (needs plantuml)
diagrams:
    plantuml -tsvg docs/diagrams/c4/*.puml docs/diagrams/uml/*.puml
