# Each target is what its name says; `make check` is what a change needs before it lands.

GO      ?= go
FUZZ    ?= 20s
MACHINE := ./porep/seal/... ./post/prove/... ./chain/state/... ./chain/mempool/... ./chain/wallet/... \
           ./chain/app/... ./chain/node/... ./chain/rpc/... ./chain/index/... ./chain/explorer/... \
           ./retrieval/... ./miner/... ./client/...

.PHONY: build test check race e2e fuzz bench bench-page generate lint

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
	.ci/fuzz $(FUZZ)

bench:
	$(GO) test -run '^$$' -bench . -benchmem ./...

# What docs/benchmarks.md quotes, in its order. Nothing else should run meanwhile.
COUNT   ?= 5
PAGE    := $(GO) test -timeout 30m -run '^$$' -count $(COUNT)

bench-page:
	$(PAGE) -bench '^BenchmarkSeal8MiB$$' -benchtime 1x ./porep/seal
	$(PAGE) -bench '^BenchmarkCommit$$' ./porep/piece
	$(PAGE) -bench '^BenchmarkWindow$$' ./post/prove
	$(PAGE) -bench '^BenchmarkMatch$$/^resting=10000$$' ./chain/orderbook
	$(PAGE) -bench '^BenchmarkTransfers$$' -benchtime 20000x ./chain/node
	$(PAGE) -bench '^BenchmarkRetrieve$$' -benchtime 1x ./retrieval/buyer
	$(PAGE) -bench '^BenchmarkUnits$$' ./chain/consensus

generate:
	$(GO) run ./internal/gen

lint:
	golangci-lint run
