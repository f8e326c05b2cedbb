//go:build !race

package seal

// killSize is the sector that TestKilled seals.
const killSize = "8MiB"
