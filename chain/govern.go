package chain

// ParamValue is a parameter, by its name in JSON, and what it shall be: attoPDR
// or a number, as the parameter is.
type ParamValue struct {
	Name  string `cborgen:"maxlen=64"`
	Value Amount
}

// Propose asks the voters for other parameters or for a later version of the
// rules, from the height Effective on. Whoever has votes may send it, and approves
// it by that. The proposal's ID is the result's ID.
type Propose struct {
	Values      []ParamValue `cborgen:"maxlen=32"`
	RuleVersion uint64       // 0: the parameters change
	Effective   Height
}

// Kind implements Body.
func (*Propose) Kind() Kind { return KindPropose }

// Approve adds the sender's votes to a proposal.
type Approve struct{ Proposal uint64 }

// Kind implements Body.
func (*Approve) Kind() Kind { return KindApprove }

// Proposal is the record of a proposal until it takes effect or comes to nothing.
type Proposal struct {
	ID          uint64
	Placed      Height
	Values      []ParamValue `cborgen:"maxlen=32"`
	RuleVersion uint64
	Effective   Height
	Approvals   []Address `cborgen:"maxlen=256"` // who approved, in order
	Adopted     Height    // when more than two thirds of the votes had approved; 0: not yet
}

// Upgrade is a later version of the rules that was agreed on.
type Upgrade struct {
	RuleVersion uint64 // 0: none is announced
	Height      Height // first height with these rules
}
