package node

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	cmtconfig "github.com/cometbft/cometbft/config"
	cmtlog "github.com/cometbft/cometbft/libs/log"

	"github.com/perdure/perdure/chain/consensus"
)

// Pace is how the engine spends its time; zero fields follow from the
// network's block time.
type Pace struct {
	Commit  time.Duration // from a decided block to the next proposal
	Propose time.Duration // for which a proposal is waited for
	Hasty   bool          // go on as soon as all votes are there, without Commit
	Gossip  time.Duration // between looks at what a peer lacks
}

// paceOf gives the engine what is left of the block time beside proposing and voting.
func paceOf(p *consensus.Params) Pace {
	block := time.Duration(p.BlockMillis) * time.Millisecond
	return Pace{Commit: block * 4 / 5, Propose: max(2*block, 2*time.Second),
		Gossip: min(maxGossipPause, block/25+time.Millisecond)}
}

// How long a reactor sleeps at most between looks at its peers, and between
// questions for votes that it may have missed.
const (
	maxGossipPause = 100 * time.Millisecond
	queryPause     = time.Second
)

// engineBackend is the kind of CometBFT's databases.
const engineBackend = "goleveldb"

// engineConfig is CometBFT's configuration; its own config file is not read.
func engineConfig(home string, c *Config, p *consensus.Params, pace Pace) *cmtconfig.Config {
	e := cmtconfig.DefaultConfig()
	e.SetRoot(cometHome(home))
	e.Moniker = c.Moniker
	e.DBBackend = engineBackend
	e.FilterPeers = false
	block := time.Duration(p.BlockMillis) * time.Millisecond
	follows := paceOf(p)
	if pace.Commit == 0 {
		pace.Commit = follows.Commit
	}
	if pace.Propose == 0 {
		pace.Propose = follows.Propose
	}
	if pace.Gossip == 0 {
		pace.Gossip = follows.Gossip
	}
	k := e.Consensus
	k.TimeoutCommit, k.SkipTimeoutCommit = pace.Commit, pace.Hasty
	k.TimeoutPropose, k.TimeoutProposeDelta = pace.Propose, block/2
	k.TimeoutPrevote, k.TimeoutPrevoteDelta = max(block, time.Second), block/2
	k.TimeoutPrecommit, k.TimeoutPrecommitDelta = max(block, time.Second), block/2
	k.PeerGossipSleepDuration = pace.Gossip
	k.PeerQueryMaj23SleepDuration = queryPause
	m := e.Mempool
	m.Type = cmtconfig.MempoolTypeApp
	m.MaxTxBytes = int(p.MaxMessageBytes)
	m.ReapMaxBytes = p.MaxBlockBytes / 4
	m.ReapInterval = max(block/10, 10*time.Millisecond)
	m.CheckTxRetryDelay = max(block, 500*time.Millisecond)
	e.TxIndex.Indexer = "null" // the explorer's index serves what it would
	e.Storage.DiscardABCIResponses = true
	e.RPC.ListenAddress = tcp(c.RPC)
	e.RPC.MaxBodyBytes = max(e.RPC.MaxBodyBytes, 2*int64(p.MaxMessageBytes))
	e.P2P.ListenAddress = tcp(c.P2P)
	e.P2P.ExternalAddress = c.External
	e.P2P.PersistentPeers, e.P2P.Seeds = strings.Join(c.Peers, ","), strings.Join(c.Seeds, ",")
	e.P2P.PexReactor = !c.Private
	e.P2P.AddrBookStrict, e.P2P.AllowDuplicateIP = !c.LocalPeers, c.LocalPeers
	e.P2P.FlushThrottleTimeout = min(e.P2P.FlushThrottleTimeout, pace.Gossip/2+time.Millisecond)
	return e
}

func tcp(address string) string {
	if address == "" {
		return ""
	}
	return "tcp://" + address
}

// engineLevels are the values of Config.EngineLog.
var engineLevels = map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn,
	"error": slog.LevelError, "none": slog.LevelError + 1}

// lastWords are the lines by which CometBFT says that it will never go on. It
// says so nowhere else, and runs on without doing anything.
var lastWords = map[string]bool{"CONSENSUS FAILURE!!!": true, "State sync failed": true,
	"Failed to bootstrap node with new state": true, "Failed to store last seen commit": true}

// received is the line by which CometBFT tells of a message between peers.
const received = "Receive"

// engineLog writes CometBFT's lines of a least level to ours, until the node is
// closing: then the engine complains of every connection that it closed itself.
type engineLog struct {
	to    *slog.Logger
	least slog.Level
	node  *Node // is told of lastWords, and of what peers have
}

var _ cmtlog.Logger = engineLog{}

// Debug implements CometBFT's Logger, and listens to what peers say they have.
func (l engineLog) Debug(msg string, kv ...any) {
	if msg == received {
		l.node.peers.hear(kv)
	}
	l.log(slog.LevelDebug, msg, kv)
}

// Info implements CometBFT's Logger.
func (l engineLog) Info(msg string, kv ...any) { l.log(slog.LevelInfo, msg, kv) }

// Warn implements CometBFT's Logger.
func (l engineLog) Warn(msg string, kv ...any) { l.log(slog.LevelWarn, msg, kv) }

// Error implements CometBFT's Logger, and takes note if it is the last one.
func (l engineLog) Error(msg string, kv ...any) {
	if lastWords[msg] && len(kv) > 1 && !l.node.engineStopped(fmt.Sprintf("%s: %v", msg, kv[1])) {
		return
	}
	l.log(slog.LevelError, msg, kv)
}

func (l engineLog) log(level slog.Level, msg string, kv []any) {
	if level >= l.least && l.node.life.Err() == nil {
		l.to.Log(context.Background(), level, msg, kv...)
	}
}

// With implements CometBFT's Logger.
func (l engineLog) With(kv ...any) cmtlog.Logger {
	return engineLog{l.to.With(kv...), l.least, l.node}
}
