// Package node is a chain node in one process: CometBFT, the application over
// its state, and the HTTP API.
//
// A home holds
//
//	config.toml         Config; unknown keys are errors
//	genesis.json        CometBFT's genesis document; app_state is consensus.Genesis
//	beacon_key.json     secret of the validator's beacon contributions
//	comet/              keys, signing state, blocks and address book of CometBFT
//	state/              chain/state
//	index/              chain/index
//	snapshots/          chain/state/snapshot
//
// Init makes the keys of a new home. New opens everything and replays what
// CometBFT has and the state has not, Run starts it and waits, Close stops it.
//
// While a node runs its keeper writes snapshots and keeps blocks, states and
// history as long as the config says. A node without blocks may start from
// snapshots of its peers (Options.Sync); one that has fallen behind what any
// peer keeps stops with a BehindError. Rollback and Reset mend a home whose
// node does not run.
//
// The API serves the raw endpoints of package rpc, GET /metrics, and the
// explorer, or whatever the caller mounts instead; CometBFT's own JSON-RPC stands beside it untouched.
package node
