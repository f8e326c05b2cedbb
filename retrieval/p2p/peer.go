package p2p

import (
	"fmt"

	"github.com/libp2p/go-libp2p/core/peer"
)

// ParsePeerID reads a peer ID as people write it, into its binary form.
func ParsePeerID(text string) (string, error) {
	id, err := peer.Decode(text)
	if err != nil {
		return "", fmt.Errorf("peer ID %q: %w", text, err)
	}
	return string(id), nil
}
