// Package p2p carries the protocol of package retrieval between peers: a
// libp2p host over TCP and QUIC with limits on what strangers may take up, the
// identity of a node, and Conn, which puts messages as bounded frames on any
// stream.
//
// Most machines at home stand behind routers that let nobody in. A host gets past
// them by libp2p's means (NAT): it has peers dial it back, asks its router for
// ports, takes places at relays, and punches holes. Self says where strangers reach
// it, Report and Probe why, or why not.
//
// A stream is a sequence of frames, each preceded by its length:
//
//	u32be length || kind || body
//
// The limit of the kind is held against the length before the frame is read.
package p2p
