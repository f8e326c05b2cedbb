// Package consensus holds the rules of the chain as pure functions: from the
// parameters, a view of the state and a block follow an Update and the results
// of its messages, and nothing else. It knows no clock, disk, network or
// goroutine, and no byte that a stranger writes makes it panic.
//
//	Validate(params, view, verify, message) (*Admission, error)    may this message be admitted?
//	Apply(params, view, verify, block) (*Update, []Result, error)  what does this block do?
//
// An error of Apply means that the view could not be read (a broken disk); a
// message that breaks a rule is a Result.
//
// Money moves only through the functions of money.go, which keep the supply's
// sums. Each noun has a file with its messages and what its queue items do.
package consensus
