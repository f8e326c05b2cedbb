// Package light reads a chain through a node that nobody has to believe. It
// starts from one header that the user trusts, HEIGHT:HASH, and takes over from
// CometBFT's light client how trust moves on from there: a header is right if
// more than a third of the votes of a trusted set and more than two thirds of
// its own set are on it, and no witness, which is any other node, shows
// another one. Whoever forges headers must own the keys of a third of the votes,
// within the trust period, and must rule every witness.
//
// Everything that decides over money hangs below such a header:
//
//   - the app hash of the state of height h stands in the header of h+1, so that
//     a record, or that there is none, is the path of state nodes to it;
//   - the root of that state names the hash of the Update that made it, so that
//     an Update, and with it each receipt of its block, is the Update's bytes;
//   - and it links to the network's parameters.
//
// What a node can still do is to withhold: answer nothing, not pass a message
// on, say that a message has left its mempool, or leave something out of a list. It
// cannot show an old state as the newest for longer than MaxAge. The texts for
// people in receipts and events are not part of the hash and prove nothing.
//
// [Node] is what a client library uses in place of an rpc.Client; [Check]
// and [Gather] are for proofs that travel as files.
package light
