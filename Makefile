# Each target is what its name says; `make check` is what a change needs before it lands.

GO      ?= go
FUZZ    ?= 20s
MACHINE := ./porep/seal/... ./post/prove/... ./chain/state/... ./chain/mempool/... ./chain/wallet/... \
           ./chain/app/... ./chain/node/... ./chain/rpc/... ./chain/index/... ./chain/explorer/... \
           ./retrieval/... ./miner/... ./client/...

.PHONY: build test check race e2e chaos chaos-market conformance kubo book fuzz bench bench-page generate vectors lint

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
	PERDURE_E2E=1 $(GO) test -count=1 -timeout 40m -v -run E2E ./internal/devnet/... ./retrieval/buyer

# Seven validators and seven miners through what a plan drawn from SEED does to
# them, for BLOCKS blocks: about twenty minutes on two cores.
SEED    ?= 1
BLOCKS  ?= 2000
chaos:
	PERDURE_E2E=1 PERDURE_CHAOS_SEED=$(SEED) PERDURE_CHAOS_BLOCKS=$(BLOCKS) $(GO) test -count=1 -timeout 60m -v -run '^TestE2EChaos$$' ./internal/devnet

# Five sellers and three buyers, each a process, through what SEED does to them while twenty files
# of up to LARGEST bytes, 328 MB together, are bought: they are stored twice, in sectors of 8 MiB,
# and bought four times. Thirty minutes on two cores that forty other processes wanted as well.
LARGEST ?= 209715200
chaos-market:
	PERDURE_E2E=1 PERDURE_CHAOS_SEED=$(SEED) PERDURE_MARKET_LARGEST=$(LARGEST) $(GO) test -count=1 -timeout 60m -v -run '^TestE2EMarketChaos$$' ./internal/devnet

# Each case of the public suite of gateway tests, asked of `perdure gateway run`. `go test ./...`
# asks the same of a handler in the test's own process.
conformance: build
	PERDURE_PROGRAM=$(CURDIR)/perdure $(GO) test -count=1 -v -run '^TestConformance|^TestConvertCodecs$$|^TestDeep$$|^TestLongPath$$' ./retrieval/gateway

# Everything that needs an ordinary IPFS node: it fetches from a miner, a gateway and a store that
# lies; its roots, archives and answers are compared with ours. KUBO is its program (kubo v0.40.1).
KUBO    ?= ipfs
kubo:
	@command -v $(KUBO) >/dev/null || { echo "make kubo: no program \"$(KUBO)\": say KUBO=/path/to/ipfs (kubo v0.40.1)"; exit 1; }
	PERDURE_KUBO=$$(command -v $(KUBO)) $(GO) test -count=1 -timeout 20m -v -run 'Kubo|^TestAnswers$$' ./retrieval/gateway ./client/pack ./internal/devnet

# The order book beside the naive one through seven million random operations.
MARKETS ?= 10000
book:
	$(GO) test -count=1 -timeout 60m -v -run '^TestAgainstNaive$$' ./chain/orderbook -markets $(MARKETS)

# Every fuzz target for FUZZ each.
fuzz:
	.ci/fuzz $(FUZZ)

bench:
	$(GO) test -run '^$$' -bench . -benchmem ./...

# What docs/benchmarks.md quotes, in its order. Nothing else should run meanwhile.
COUNT   ?= 5
EXPLORER ?=
PAGE    := $(GO) test -timeout 30m -run '^$$' -count $(COUNT)

bench-page:
	for part in sha256 commp poseidon post seal; do $(GO) run ./cmd/perdure bench $$part || exit 1; done
	$(PAGE) -bench '^BenchmarkLayer$$' -benchtime 2x -cpu 1,2 ./porep/seal/layers
	PERDURE_BENCH_SIZE=512MiB $(PAGE) -bench '^BenchmarkTrees$$' -benchtime 1x ./porep/seal
	$(PAGE) -cpu 1 -bench '^BenchmarkMatch$$' -benchtime 2000000x ./chain/orderbook
	PERDURE_BENCH_ORDERS=1000000 $(PAGE) -bench '^BenchmarkOrders$$' -benchtime 5x ./chain/app
	$(PAGE) -bench '^BenchmarkTransfers$$' -benchtime 20000x ./chain/node
	$(PAGE) -bench '^BenchmarkProofBlocks$$' -benchtime 30x ./chain/app
	PERDURE_BENCH_STATE=1000000 $(PAGE) -bench '^BenchmarkStateSize$$' -benchtime 300x ./chain/app
	$(GO) test -run '^TestGrowth$$' -v ./chain/app
	$(PAGE) -bench '^BenchmarkOffers$$' -benchtime 2000x ./chain/orderbook
	PERDURE_BENCH_SIZE=1GiB $(GO) test -timeout 30m -run '^$$' -bench '^BenchmarkDryRun$$' -benchtime 5x ./cmd/perdure # if PERDURE_KUBO names an ipfs program
	$(GO) run ./cmd/perdure bench retrieval --rounds $(COUNT)
	$(GO) run ./cmd/perdure bench explorer --rounds $(COUNT) --dir '$(EXPLORER)' # which keeps the big chain, if it is given
	PERDURE_BENCH_STATE=1000000 $(GO) test -timeout 30m -run '^$$' -bench '^BenchmarkSnapshot$$' -benchtime 1x ./chain/state/snapshot
	TMPDIR=/dev/shm PERDURE_BENCH_BLOCKS=100000 $(GO) test -timeout 60m -run '^$$' -bench '^BenchmarkRestart$$' -benchtime 3x ./chain/node
	$(PAGE) -bench '^BenchmarkUnits$$' ./chain/consensus
	$(PAGE) -bench '^BenchmarkCloseMissed$$' ./chain/consensus
	$(PAGE) -bench '^BenchmarkMissedSectors$$' -benchtime 10x ./chain/state

# Encodings, and machine code from the programs that write it: what it covers is what .ci/run
# compares with what is committed.
LANES := internal/sha256lanes
generate:
	$(GO) run ./internal/gen
	$(GO) run ./internal/gen/sha256pairs -out $(LANES)/pairs_kernels_amd64.s -stubs $(LANES)/pairs_kernels_amd64.go -pkg sha256lanes
	$(GO) run ./internal/gen/sha256labels -out $(LANES)/labels_kernels_amd64.s -stubs $(LANES)/labels_kernels_amd64.go -pkg sha256lanes
	$(GO) run ./internal/gen/poseidon -out porep/poseidon/permute_kernels_amd64.s -stubs porep/poseidon/permute_kernels_amd64.go -pkg poseidon

# The known answers, then every kernel against crypto/sha256 for VECTORS each: ten minutes in all.
VECTORS ?= 5m
vectors:
	$(GO) test -count=1 ./extern/... ./porep/... ./post/... $(addprefix ./,$(LANES))
	$(GO) test -run '^$$' -fuzz '^FuzzPairs$$' -fuzztime $(VECTORS) -fuzzminimizetime 10x ./$(LANES)
	$(GO) test -run '^$$' -fuzz '^FuzzLabels$$' -fuzztime $(VECTORS) -fuzzminimizetime 10x ./$(LANES)

lint:
	golangci-lint run
