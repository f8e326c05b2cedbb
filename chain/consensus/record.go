package consensus

import "github.com/perdure/perdure/chain"

// NewRecord returns the noun of the records of a table, empty: that of a queue
// depends on the key's ID, too. It is a *chain.Empty for tables whose records say
// nothing but that they are there.
func NewRecord(t chain.Table, id string) chain.CBOR {
	switch t {
	case chain.TableGlobal:
		return new(chain.Global)
	case chain.TableAccount:
		return new(chain.Account)
	case chain.TableMiner:
		return new(chain.Miner)
	case chain.TableSector:
		return new(chain.Sector)
	case chain.TablePartition:
		return new(chain.Partition)
	case chain.TableOrder:
		return new(chain.Order)
	case chain.TableDeal:
		return new(chain.Deal)
	case chain.TableChannel:
		return new(chain.Channel)
	case chain.TableBeacon:
		return new(chain.Beacon)
	case chain.TableParams:
		return new(Params)
	case chain.TableProposal:
		return new(chain.Proposal)
	case chain.TableQueue:
		if _, _, index := chain.ParseQueueID(id); index == 0 {
			return new(chain.QueueHead)
		}
		return new(chain.QueueItem)
	case chain.TableCopies:
		return new(chain.Copies)
	case chain.TableServed:
		return new(chain.Served)
	case chain.TableVoters:
		return new(chain.VoteSet)
	case chain.TableVoteKey:
		return new(chain.VoteKey)
	case chain.TableCandidate:
		return new(chain.Candidate)
	}
	return new(chain.Empty)
}
