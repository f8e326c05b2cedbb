package page

import (
	"fmt"

	"github.com/perdure/perdure/chain/explorer"
)

// live are the topics that renew a list: none if it is not its beginning.
func (v *visit) live(topics string) string {
	if v.param("cursor") != "" {
		return ""
	}
	return topics
}

func sectorTopic(miner string, number uint64) string {
	return fmt.Sprintf("sector:%s/%d", miner, number)
}

// dealTopics are of a deal and, once it has one, of its sector, whose proofs pay it.
func dealTopics(d *explorer.Deal) string {
	topics := fmt.Sprintf("deal:%d", d.ID)
	if d.Sector != nil {
		topics += "," + sectorTopic(d.Miner, *d.Sector)
	}
	return topics
}
