//go:build race

package seal

// killSize is the sector that TestKilled seals: the race detector makes sealing
// some ten times slower.
const killSize = "1MiB"
