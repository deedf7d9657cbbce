# Tools are pinned here, or in go.mod where the module needs the same version, and built by go run, which keeps what it
# built. They need nothing but Go; make graphiql also needs npm.
GOLANGCI_LINT = go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
BUF           = go run github.com/bufbuild/buf/cmd/buf@v1.75.0
GQLGEN        = go run github.com/99designs/gqlgen@$$(go list -m -f '{{.Version}}' github.com/99designs/gqlgen)

.PHONY: help
help: ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: test
test: ## everything that ./test.sh tests
	./test.sh

.PHONY: lint
lint: ## golangci-lint; the rules and their exceptions are in .golangci.yml
	$(GOLANGCI_LINT) run ./...

.PHONY: proto-lint
proto-lint: ## the form of the proto files, and whether they break those who have the last ones
	$(BUF) lint
	$(BUF) format --diff --exit-code
	$(BUF) build -o -#format=binpb | $(BUF) breaking -#format=binpb --against $(PROTO_BASELINE)

# What others may have in their hands: the proto files of the last release; before the first one, as they were when this check began. With
# each release it is renewed, so that what was added since can still change until then. A line that goes from it is a break.
PROTO_BASELINE = remote/remotepb/baseline.yaml

.PHONY: proto-baseline
proto-baseline: proto-lint ## before a release: the proto files as they are now are those that must not break any more
	$(BUF) build --exclude-source-info -o $(PROTO_BASELINE)

.PHONY: generate
generate: ## all generated Go code; CI fails if this changes a file
	$(BUF) generate
	if [ -f graphql/gqlgen.yml ]; then cd graphql && $(GQLGEN) generate; fi
	go run ./internal/tools/otptable

.PHONY: otp-table
otp-table: ## docs/otp.md, the table of OTP behaviours, from the tests
	go run ./internal/tools/otptable

.PHONY: graphiql
graphiql: ## the files of the GraphiQL page, from npm
	cd graphql/graphiql/page && npm ci && npm run build && rm -rf node_modules

.PHONY: ci
ci: ## all that must pass; installs what the tests need, with apt-get
	.ci/run

.PHONY: model
model: ## at least 100,000 random steps of supervisors against a model of OTP's rules
	go test -run '^TestAgainstTheModel$$' -count=1 -v ./supervisor -rapid.checks=5000

.PHONY: soak
soak: ## a tree of 10,000 children of which some crash all the time, for two minutes
	go test -run '^TestSoak$$' -count=1 -v ./supervisor -soak=2m

.PHONY: chaos
chaos: STORE ?= sqlite
chaos: ROUNDS ?= 100
chaos: VARIANT ?= kill
chaos: ## kills processes that run durable tasks, and judges: STORE=sqlite or postgres, ROUNDS=, VARIANT=, SEED=, PAUSE=; docs/chaos.md
	go build -o .tools/bin/chaos ./internal/tools/chaos
	.tools/bin/chaos -store $(STORE) -rounds $(ROUNDS) -variant $(VARIANT) $(if $(SEED),-seed $(SEED)) $(if $(PAUSE),-pause $(PAUSE))

.PHONY: netchaos
netchaos: RUNS ?= 100000
netchaos: ROUNDS ?= 100
netchaos: VARIANT ?= all
netchaos: ## kills processes that send tasks over a network, and cuts it, and judges: RUNS=, ROUNDS=, VARIANT=, SEED=; docs/chaos.md
	go build -o .tools/bin/netchaos ./internal/tools/netchaos
	.tools/bin/netchaos -runs $(RUNS) -rounds $(ROUNDS) -variant $(VARIANT) $(if $(SEED),-seed $(SEED))

.PHONY: otp-traces
otp-traces: ## what real OTP does in actors/testdata/otp/scenarios.txt; needs elixir, takes half a minute
	@command -v elixir >/dev/null || { echo "there is no elixir here: apt-get install elixir"; exit 1; }
	elixir actors/testdata/otp/run.exs

.PHONY: clean
clean: ## forget the installed tools
	rm -rf .tools docs/examples/node/node_modules

.PHONY: bench-mutation
bench-mutation: ## how long moveAssets takes to answer while 1,000 moves are under way
	cd bench && go test -run '^$$' -bench MoveAssetsWhileBusy -benchtime 6000x ./mutation

.PHONY: bench-store
bench-store: ## our durable queues beside the others, into bench/README.md; needs PostgreSQL, Redis and a C compiler, takes ten minutes
	cd bench && go test -tags mattn -run '^TestCompare$$' -count=1 -v -timeout 2h ./store -rounds 5 -write ../README.md

.PHONY: bench-flat
bench-flat: ## what a task costs beside ten thousand and ten million finished ones, into bench/README.md; 10 GB on TMPDIR, ten minutes
	cd bench && go test -run '^TestFlat$$' -count=1 -v -timeout 2h ./store -rounds 5 -kept 10000,10000000 -write ../README.md

.PHONY: bench-assets
bench-assets: rclone ## moving 7,447 small files beside rclone, into bench/README.md; needs nginx and versitygw, takes ten minutes
	cd bench && go test -run '^TestCompare$$' -count=1 -v -timeout 2h ./assets -rounds 5 -write ../README.md

.PHONY: bench-remote
bench-remote: ## a remote Run beside a call of gRPC and a local Run, into bench/README.md; takes three minutes
	cd bench && go test -run '^TestCompare$$' -count=1 -v -timeout 2h ./remote -rounds 5 -write ../README.md

# What bench-assets is measured against. No test needs it.
RCLONE = v1.76.0

.PHONY: rclone
rclone: ## rclone, into .tools; no test needs it
	@go version -m .tools/bin/rclone 2>/dev/null | grep -q "rclone[[:space:]]$(RCLONE)" || \
		GOBIN=$(CURDIR)/.tools/bin go install github.com/rclone/rclone@$(RCLONE)

.PHONY: mutate
mutate: ## breaks the decisions of the supervisor one by one: do the tests notice?
	go run ./internal/tools/mutate -test ./supervisor -timeout 20s \
		-run 'Test([A-Z][A-Z][0-9]|Decide|Group|IsShutdownError|NewWindow|ValidIntensity|Window|.*Backoff)' \
		supervisor/decide.go supervisor/window.go supervisor/backoff.go
