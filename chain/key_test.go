package chain

import "testing"

func TestParseKey(t *testing.T) {
	account, err := KeyAddress(make([]byte, 65))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		table Table
		text  string
		want  Key
	}{
		{TableGlobal, "", GlobalKey()},
		{TableAccount, FormatAddress(account, Mainnet), AccountKey(account)},
		{TableMiner, "t01000", MinerKey(1000)},
		{TableMiner, "f01000", MinerKey(1000)},
		{TableSector, "t01001/7", SectorKey(1001, 7)},
		{TablePartition, "t01001/2/1", PartitionKey(1001, 2, 1)},
		{TableOrder, "12", OrderKey(12)},
		{TableDeal, "3", DealKey(3)},
		{TableChannel, "4", ChannelKey(4)},
		{TableBeacon, "99", BeaconKey(99)},
		{TableQueue, "5/9/2", QueueKey(QueueDealEnd, 5, 2)},
		{TableReplay, "ff00", Key{TableReplay, "\xff\x00"}},
	} {
		got, err := ParseKey(c.table, c.text)
		if err != nil || got != c.want {
			t.Errorf("%s %q: %x, %v; want %x", c.table, c.text, got.ID, err, c.want.ID)
		}
		path := FormatPath(c.want, Mainnet)
		if again, err := ParsePath(path); err != nil || again != c.want {
			t.Errorf("%s %x is written %q, which is %s %x, %v", c.table, c.want.ID, path, again.Table, again.ID, err)
		}
	}
	for _, c := range []struct {
		table Table
		text  string
	}{
		{TableGlobal, "1"}, {TableAccount, "me"}, {TableMiner, "1000"}, {TableMiner, "t01000/1"}, {TableSector, "t01000"},
		{TableSector, "t01000/x"}, {TablePartition, "t01000/1"}, {TablePartition, "t01000/1/4294967296"}, {TableOrder, "-1"},
		{TableDeal, ""}, {TableQueue, "xyz"}, {TableQueue, "5/32/1"}, {TableQueue, "5/1"}, {TableQueue, "-5/1/1"}, {TableReplay, ""},
	} {
		if k, err := ParseKey(c.table, c.text); err == nil {
			t.Errorf("%s %q is key %x", c.table, c.text, k.ID)
		}
	}
	for _, path := range []string{"", "deals/1", "deal", "deal/1/2", "global/1", "/"} {
		if k, err := ParsePath(path); err == nil {
			t.Errorf("path %q is key %s %x", path, k.Table, k.ID)
		}
	}
	if got := FormatPath(Key{TableDeal, "short"}, Testnet); got != "deal/73686f7274" {
		t.Errorf("a key of no shape is written %q", got)
	}
}
