package p2p

import (
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	tls "github.com/libp2p/go-libp2p/p2p/security/tls"
)

// secured is how TCP connections are encrypted: TLS 1.3 first, whose AES-GCM the
// processors of servers compute several times as fast as Noise's ChaCha20, and
// which agrees on the multiplexer in the same round trip; else Noise, which every
// libp2p node speaks. QUIC has TLS built in.
func secured() libp2p.Option {
	return libp2p.ChainOptions(libp2p.Security(tls.ID, newGatheredTLS), libp2p.Security(noise.ID, noise.New))
}
