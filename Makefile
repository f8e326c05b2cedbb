# Each target is what its name says; `make check` is what a change needs before it lands.

GO      ?= go
FUZZ    ?= 20s
MACHINE := ./porep/seal/... ./post/prove/... ./chain/state/... ./chain/mempool/... ./chain/wallet/... \
           ./chain/app/... ./chain/node/... ./chain/rpc/... ./chain/index/... ./chain/explorer/... \
           ./retrieval/... ./miner/... ./client/...

.PHONY: build test check race e2e fuzz bench generate lint

build:
	CGO_ENABLED=0 $(GO) build -trimpath -o perdure ./cmd/perdure

test:
	$(GO) test ./...

check:
	@test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; }
	$(GO) vet ./...
	$(GO) test ./...
	$(MAKE) race

race:
	$(GO) test -race $(MACHINE)

# Whole networks, with processes killed and proofs broken: minutes, not seconds.
e2e:
	PERDURE_E2E=1 $(GO) test -count=1 -timeout 40m -v -run E2E ./internal/devnet/...

# Every fuzz target for FUZZ each.
fuzz:
	@$(GO) run ./internal/fuzzall -time $(FUZZ)

bench:
	$(GO) test -run '^$$' -bench . -benchmem ./...

generate:
	$(GO) run ./internal/gen

lint:
	golangci-lint run
