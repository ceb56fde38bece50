# The entry point: `make` lists the recipes, continuous integration runs the same ones.
# Each recipe first makes sure that the tools it needs are installed (.ci/need prints what it installs).

.DEFAULT_GOAL := help
.PHONY: help demo test soak check bench man

help: ## list the recipes
	@sed -n 's/^\([a-z]*\):.* ## /  make \1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

demo: ## start margay on gateway.json with its sample backends
	@.ci/need cargo cmake cc
	@[ -x target/demo/margay ] || echo "Building about 330 crates once, with little optimization: about four minutes on two cores."
	cargo run --profile demo --locked -- demo

test: ## run every test: units, architecture, engine, cases, the README's tour
	@.ci/need cargo cmake cc curl wrk h2load nghttp haproxy nginx node npm node20 chromium ps python3 venv promtool faketime prlimit redis-server redis-cli openssl dig socat ssh scp ssh-keygen sshd
	@echo "1/7: build. From a clean clone about 420 crates are compiled once; the first two steps take about twenty minutes on two cores."
	cargo test --locked --no-run
	@echo "2/7: run. Each dot is a test; the end-to-end tests take a few minutes."
	cargo test --locked --quiet
	@echo "3/7: chaos: slow clients, lost backends, exhausted descriptors; under a minute."
	tests/chaos/run.py target/debug/margay
	@echo "4/7: the OpenAPI document of the administration, a client generated from it, and Azure's client of API management; their tools are installed once."
	tests/admin/run.py target/debug/margay
	tests/admin/azure_sdk.py target/debug/margay
	@echo "5/7: the official clients and server libraries of Azure Web PubSub and SignalR; they are installed once."
	tests/realtime/run.py target/debug/margay
	tests/realtime/nodes.py target/debug/margay
	@echo "6/7: sign-in sessions with a certified OpenID provider and a browser; the provider is installed once."
	tests/sessions/run.py target/debug/margay cookies
	CASE="without Redis" tests/sessions/run.py target/debug/margay redis
	@echo "7/7: tunnels with OpenSSH, curl, an MQTT library and a WebSocket library; the libraries are installed once."
	tests/tunnels/run.py target/debug/margay

soak: ## the long runs: 1,000 reloads under load, 20 watched changes of each kind, 2 GiB up and down, a minute of each chaos scenario, the memory of idle connections and routes, Redis stopped, slow and lost, TCP and UDP under failover and reloads, hubs with slow readers, cut sockets and reloads
	@.ci/need cargo cmake cc ps python3 venv node npm node20 chromium faketime prlimit nginx haproxy openssl redis-server redis-cli
	RELOADS=1000 SOAK=1 cargo test --locked --test e2e -- reloads_under_load safe_change:: streaming_memory:: fabric_failover:: shared_ api_management:: api_management_documents:: api_management_store::
	WAF_CASES=all cargo test --locked --test e2e -- the_firewall_decides
	cargo build --release --locked
	tests/chaos/run.py target/release/margay --gateways margay,nginx,haproxy --seconds 60
	tests/chaos/costs.py target/release/margay
	tests/chaos/shared_state.py target/release/margay
	python3 tests/endpoints/endurance.py --binary target/release/margay
	tests/realtime/endurance.py target/release/margay
	tests/sessions/run.py target/release/margay redis

check: ## format, lints, documentation; changes nothing
	@.ci/need cargo cmake cc
	@cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 || \
		{ echo "Installing: rustup component add rustfmt clippy"; rustup component add rustfmt clippy; }
	cargo fmt --check
	@echo "1/3: lints"
	cargo clippy --locked --all-targets -- -D warnings
	@echo "2/3: documentation"
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items
	@echo "3/3: architecture"
	cargo test --locked --test architecture

bench: ## margay next to nginx and HAProxy under wrk, and the criterion benches
	@.ci/need cargo cmake cc curl wrk nginx haproxy taskset openssl ss redis-server redis-cli pgrep node npm python3 venv nginx-stream
	cargo build --release --locked
	benches/proxy/run.sh
	benches/shared_state/run.py target/release/margay
	benches/transport/run.py target/release/margay
	benches/waf/run.py target/release/margay
	cargo bench --locked --no-run --bench hub_clients
	benches/hub/run.py target/release/margay "$$(ls -t target/release/deps/hub_clients-* | grep -v '\.d$$' | head -n 1)"
	cargo bench --locked --quiet --bench '*'

man: ## write the man pages to target/man
	@.ci/need cargo cmake cc
	cargo run --profile demo --locked --quiet -- man target/man
