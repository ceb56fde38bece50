# The one door: `make` lists the recipes, continuous integration runs the same ones.
# Each recipe first makes sure that the tools it needs are there (.ci/need says what it installs).

.DEFAULT_GOAL := help
.PHONY: help demo test soak check bench

help: ## list the recipes
	@sed -n 's/^\([a-z]*\):.* ## /  make \1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

demo: ## start margay on gateway.json with its sample services
	@.ci/need cargo cmake cc
	cargo run --release --locked -- demo

test: ## run every test: units, architecture, engine, cases, the README's tour
	@.ci/need cargo cmake cc curl wrk h2load nghttp haproxy nginx node npm
	cargo test --locked --quiet

soak: ## the long runs: 1,000 reloads under load, 2 GiB up and down
	@.ci/need cargo cmake cc
	RELOADS=1000 SOAK=1 cargo test --locked --test e2e -- reloads_under_load streaming_memory::

check: ## format, lints, documentation; changes nothing
	@.ci/need cargo cmake cc
	@cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 || \
		{ echo "Installing: rustup component add rustfmt clippy"; rustup component add rustfmt clippy; }
	cargo fmt --check
	cargo clippy --locked --all-targets --quiet -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items --quiet
	cargo test --locked --quiet --test architecture

bench: ## margay beside nginx and HAProxy under wrk, and the criterion benches
	@.ci/need cargo cmake cc curl wrk nginx haproxy taskset openssl ss
	cargo build --release --locked
	benches/proxy/run.sh
	cargo bench --locked --quiet --bench '*'
