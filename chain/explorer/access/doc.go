// Package access says who may ask a node how much over HTTP: tokens with
// scopes for what is not public, a rate and a number of streams for each
// caller, and a number of connections in all and for each address. It knows
// nothing of the chain.
package access
