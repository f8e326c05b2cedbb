package car

import (
	"fmt"

	"github.com/ipfs/go-cid"
)

// NamedError is an error about a block, or about what it is the root of.
type NamedError struct {
	What string // such as block, or what was being done with it
	CID  cid.Cid
	Err  error
}

// Named is what was wrong with a block under its name, which then stands in the text
// once.
func Named(what string, c cid.Cid, err error) error { return &NamedError{what, c, Unnamed(c, err)} }

// Unnamed is an error without the name of a block, if it is about that one: for whoever
// has named it already.
func Unnamed(c cid.Cid, err error) error {
	if of, ok := err.(*NamedError); ok && of.CID.Equals(c) {
		return of.Err
	}
	return err
}

// Error implements error.
func (e *NamedError) Error() string { return fmt.Sprintf("%s %s: %v", e.What, e.CID, e.Err) }

// Unwrap returns what is wrong.
func (e *NamedError) Unwrap() error { return e.Err }
