package consensus

import (
	"encoding/binary"

	"github.com/perdure/perdure/chain"
)

// checkEnded checks that each record of something that is over, and no other, is
// due to be let go of, once.
func (a *audit) checkEnded() error {
	due, err := a.queuedForgets()
	if err != nil {
		return err
	}
	found := func(k chain.Key, over bool) {
		if n := due[k]; over != (n == 1) || n > 1 {
			a.wrong("%s is due to be let go of %d times, its life is over: %v", chain.FormatPath(k, a.params.Network), n, over)
		}
		delete(due, k)
	}
	err = eachRecord(a, chain.TableSector, func(_ string, sec *chain.Sector) error {
		found(chain.SectorKey(sec.Miner, sec.Number), sec.Ended())
		return nil
	})
	if err != nil {
		return err
	}
	err = eachRecord(a, chain.TableDeal, func(_ string, d *chain.Deal) error {
		found(chain.DealKey(d.ID), d.Ended())
		return nil
	})
	if err != nil {
		return err
	}
	err = eachRecord(a, chain.TableChannel, func(_ string, c *chain.Channel) error {
		found(chain.ChannelKey(c.ID), c.SettleAt != 0)
		return nil
	})
	//perdure:unordered problems are told to people
	for k := range due {
		if k.Table != chain.TableChannel { // one that was collected in time has gone before
			a.wrong("%s is due to be let go of and is not there", chain.FormatPath(k, a.params.Network))
		}
	}
	return err
}

// queuedForgets counts for each record how often it is due to be let go of.
func (a *audit) queuedForgets() (map[chain.Key]int, error) {
	due := map[chain.Key]int{}
	err := a.records.ForEach(chain.TableQueue, func(id string, record []byte) error {
		q, _, index := chain.ParseQueueID(id)
		if index == 0 || q != chain.QueueSectorForget && q != chain.QueueDealForget && q != chain.QueueChannelForget {
			return nil
		}
		var item chain.QueueItem
		if err := chain.Decode(record, &item); err != nil {
			return err
		}
		switch q {
		case chain.QueueSectorForget:
			due[chain.SectorKey(item.Owner, item.ID)]++
		case chain.QueueDealForget:
			due[chain.DealKey(item.ID)]++
		default:
			due[chain.ChannelKey(item.ID)]++
		}
		return nil
	})
	return due, err
}

// checkBeacons checks that the beacon values of the heights that rules read, and
// no others, are there.
func (a *audit) checkBeacons() error {
	kept := chain.Height(a.params.BeaconKept())
	oldest := a.global.Height - min(a.global.Height, kept)
	count := chain.Height(0)
	err := eachRecord(a, chain.TableBeacon, func(id string, _ *chain.Beacon) error {
		if h := chain.Height(binary.BigEndian.Uint64([]byte(id))); h < oldest || h > a.global.Height {
			a.wrong("the beacon value of height %d is there, rules read those from %d on", h, oldest)
		}
		count++
		return nil
	})
	if want := a.global.Height - oldest + 1; count != want {
		a.wrong("%d beacon values are there, want those of %d heights", count, want)
	}
	return err
}
