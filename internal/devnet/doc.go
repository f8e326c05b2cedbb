// Package devnet runs a whole network in one process, on loopback: for tests
// that drive block by block, and for `perdure devnet` and `perdure demo`.
//
// A gated network proposes a block only when Advance lets it, so a test never
// waits for time: Advance(ctx, 3) returns when every running node has
// committed three more blocks. An ungated one keeps its network's block time.
//
// A gated network whose proposer is stopped waits for it; stop validators in
// an ungated one.
package devnet
