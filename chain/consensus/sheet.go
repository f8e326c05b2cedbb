package consensus

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// Parameter is one of Params, for people.
type Parameter struct {
	Name  string `json:"name"`  // as in JSON
	Value string `json:"value"` // amounts in attoPDR
	Unit  string `json:"unit"`
}

const (
	unitBlocks = "blocks"
	unitAmount = "attoPDR"
	unitSector = "attoPDR per GiB of sector"
	unitPiece  = "attoPDR per GiB of piece"
	unitBytes  = "bytes"
	unitShare  = "percent"
	unitCount  = "number"
	unitWork   = "units"
	unitPeriod = "proving periods"
)

// paramUnits names the unit of every parameter.
var paramUnits = map[string]string{
	"name": "name", "chainId": "name", "network": "form of addresses", "blockMillis": "milliseconds",
	"sealProofs": "registered proofs", "deadlines": unitCount, "window": unitBlocks, "windowChallenges": unitCount,
	"challengeLookback": unitBlocks, "faultCutoff": unitBlocks, "faultMaxAge": unitPeriod, "porepChallenges": unitCount,
	"seedDelay": unitBlocks, "proveDue": unitBlocks, "ticketAge": unitBlocks, "minSectorLife": unitBlocks, "maxSectorLife": unitBlocks,
	"fetchBy": unitBlocks, "activateBy": unitBlocks, "matchDelay": unitBlocks, "matchVisits": unitCount, "matchSearches": unitCount,
	"matchesPerBlock": unitCount, "maxOrderLife": unitBlocks, "minDuration": unitBlocks, "maxCopies": unitCount,
	"maxMessageBytes": unitBytes, "maxBlockBytes": unitBytes, "maxBlockUnits": unitWork, "queueItems": unitCount,
	"stateRetention": unitBlocks, "endedRetention": unitBlocks, "settleDelay": unitBlocks, "keyDelay": unitBlocks, "voteEpoch": unitBlocks, "maxValidators": unitCount,
	"voteUnit": unitBytes, "genesisShare": unitShare, "genesisThreshold": unitBytes, "evidenceAge": unitBlocks, "trustPeriod": unitBlocks,
	"unbonding": unitBlocks, "slashShare": unitShare,
	"baseFeeStart": "attoPDR per byte and unit", "baseFeeFloor": "attoPDR per byte and unit", "proofFee": "attoPDR per byte and unit", "proofTries": unitCount,
	"beaconCharge":     unitAmount,
	"preCommitDeposit": unitSector, "sectorPledge": unitSector, "noShowDeposit": unitPiece, "noShowFloor": unitAmount,
	"noShowForget": unitBlocks, "noShowMost": unitCount, "orderDeposit": unitAmount, "collateralSpan": "blocks of the price",
	"voidBurn": unitShare, "lossBurn": unitShare, "repairPrice": unitShare, "repairBy": unitBlocks, "repairFetch": unitPiece,
	"faultFee": unitSector, "skipFee": unitSector, "standingFee": unitSector,
	"faultBudget": unitShare, "budgetPeriods": unitPeriod, "faultForgive": unitBlocks, "terminationBurn": unitShare,
	"issuanceTotal": unitAmount, "issuanceHalfLife": unitBlocks, "issuanceFullPower": unitBytes, "proposerShare": unitShare,
	"unitSignature": unitWork, "unitHash": unitWork, "unitPoseidon": unitWork, "unitWrite": unitWork,
}

// Sheet lists the parameters in the order of Params, with their units.
func (p *Params) Sheet() ([]Parameter, error) {
	var out []Parameter
	v := reflect.ValueOf(*p)
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		text, err := json.Marshal(v.Field(i).Interface())
		if err != nil {
			return nil, fmt.Errorf("parameter %s: %w", name, err)
		}
		out = append(out, Parameter{name, strings.Trim(string(text), `"`), paramUnits[name]})
	}
	return out, nil
}
