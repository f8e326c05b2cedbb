package chain

import (
	"slices"
	"strings"
	"testing"

	"github.com/filecoin-project/go-address"
	"pgregory.net/rapid"
)

func TestAddresses(t *testing.T) {
	for text, want := range map[string]MinerID{"t01000": 1000, "f01000": 1000, "t00": 0} {
		if id, err := ParseMiner(text); err != nil || id != want {
			t.Errorf("%s: miner %d, %v", text, id, err)
		}
	}
	key, err := AddressOfKey([]byte(strings.Repeat("k", PrivateKeySize)))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []Network{Mainnet, Testnet} {
		text := FormatAddress(key, n)
		if back, err := ParseAddress(text); err != nil || back != key || text[0] != byte(n) {
			t.Errorf("%s reads back as %v, %v", text, back, err)
		}
		if _, err := ParseMiner(text); err == nil {
			t.Errorf("%s names a miner", text)
		}
		if id, err := ParseMiner(FormatMiner(1234, n)); err != nil || id != 1234 {
			t.Errorf("%s: %d, %v", FormatMiner(1234, n), id, err)
		}
	}
	for _, text := range []string{"", "t", "x01000", "t0", "t01x", "t1abc", "t09223372036854775808", FormatAddress(key, Testnet) + "a"} {
		if a, err := ParseAddress(text); err == nil && text != "" {
			t.Errorf("%q reads as %s", text, FormatAddress(a, Testnet))
		}
		if _, err := ParseMiner(text); err == nil {
			t.Errorf("%q names a miner", text)
		}
	}
	if got := FormatAddress(Address{}, Testnet); got != "" {
		t.Errorf("the undefined address is written %q", got)
	}
}

func TestPrices(t *testing.T) {
	for _, c := range []struct{ price, size, blocks, want uint64 }{
		{1, GiB, 1, 1}, {1, 1, 1, 1}, {1, GiB + 1, 1, 2}, {3, GiB / 2, 2, 3}, {0, GiB, 5, 0}, {7, 8 << 20, 60, 4},
	} {
		if got, err := DealPrice(Atto(c.price), c.size, c.blocks); err != nil || got != Atto(c.want) {
			t.Errorf("price %d, %d bytes, %d blocks: %s, %v; want %d", c.price, c.size, c.blocks, got, err, c.want)
		}
	}
	if _, err := DealPrice(Atto(1), 1<<40, 1<<40); err == nil {
		t.Error("2^80 byte-blocks have a price")
	}
	if got, err := PerGiB(Atto(3), GiB/2); err != nil || got != Atto(2) {
		t.Errorf("half of 3 a GiB is %s, %v", got, err)
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]uint64{"8MiB": 8 << 20, "2KiB": 2048, "512": 512, "512B": 512, "32 GiB": 32 << 30, "1TiB": 1 << 40} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
		if back, err := ParseSize(FormatSize(want)); err != nil || back != want {
			t.Errorf("%s reads back as %d, %v", FormatSize(want), back, err)
		}
	}
	for _, text := range []string{"", "KiB", "-1", "1.5MiB", "8MB", "16777216TiB", "1 2B"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%q reads as %d", text, got)
		}
	}
}

// TestKeysDiffer: no two records share a key, and tables of one shape have
// keys of one length.
func TestKeysDiffer(t *testing.T) {
	a, err := AddressOfKey([]byte(strings.Repeat("k", PrivateKeySize)))
	if err != nil {
		t.Fatal(err)
	}
	p := &SubmitWindowProof{Miner: 1, Period: 2, Deadline: 3, Partition: 4}
	keys := []Key{GlobalKey(), AccountKey(a), MinerKey(1), MinerKey(256), SectorKey(1, 2), SectorKey(2, 1), PartitionKey(1, 2, 3),
		PartitionKey(1, 3, 2), OrderKey(1), DealKey(1), ChannelKey(1), BeaconKey(1), ReplayKey(p), VoidKey([]byte("x")),
		QueueKey(QueueDealEnd, 5, 1), QueueKey(QueueDealEnd, 5, 0), QueueKey(QueueOrderExpire, 5, 1), QueueKey(QueueDealEnd, 6, 0)}
	lengths := map[Shape][]int{ShapeSingle: {0}, ShapeDense: {8}, ShapeOwned: {16}, ShapeBytes: {21, 32, 33}}
	for i, k := range keys {
		if slices.Contains(keys[:i], k) {
			t.Errorf("key %d of table %s is there twice", i, k.Table)
		}
		if !slices.Contains(lengths[k.Table.Shape()], len(k.ID)) {
			t.Errorf("key of table %s has %d bytes", k.Table, len(k.ID))
		}
		if back, ok := ParseTable(k.Table.String()); !ok || back != k.Table {
			t.Errorf("table %s is parsed as %s", k.Table, back)
		}
	}
	if !OrderKey(255).Less(OrderKey(256)) || !MinerKey(9).Less(OrderKey(1)) || OrderKey(1).Less(OrderKey(1)) {
		t.Error("keys are not ordered by table and number")
	}
	if q, h, i := ParseQueueID(QueueKey(QueueEnd-1, 1<<40, 1<<50).ID); q != QueueEnd-1 || h != 1<<40 || i != 1<<50 {
		t.Errorf("a queue's key is read as queue %d, height %d, index %d", q, h, i)
	}
	if QueueEnd > 1<<queueBits {
		t.Error("a queue's key has no room for so many queues")
	}
}

func TestSupplyCheck(t *testing.T) {
	good := Supply{Minted: Atto(10), Burned: Atto(1), Accounts: Atto(4), Locked: Atto(5)}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for _, bad := range []Supply{{Minted: Atto(10)}, {Burned: Atto(1)}, {Accounts: Amount{^uint64(0), 0}, Locked: Amount{^uint64(0), 0}}} {
		if bad.Check() == nil {
			t.Errorf("%+v adds up", bad)
		}
	}
}

func TestHashText(t *testing.T) {
	h := HashBytes([]byte("x"))
	text, err := h.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	var back Hash
	if err := back.UnmarshalText(text); err != nil || back != h {
		t.Errorf("%s reads back as %s, %v", text, back, err)
	}
	for _, bad := range []string{"", "00", strings.Repeat("0", 63), strings.Repeat("0", 65), strings.Repeat("g", 64)} {
		if back.UnmarshalText([]byte(bad)) == nil {
			t.Errorf("%q is a hash", bad)
		}
	}
}

// TestFormatAddress holds the text of addresses of every protocol against that of the
// library, which reads it again.
func TestFormatAddress(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		payload := rapid.SliceOfN(rapid.Byte(), 48, 48).Draw(t, "payload")
		made := []func() (Address, error){
			func() (Address, error) { return address.NewIDAddress(uint64(payload[0])<<20 + uint64(payload[1])) },
			func() (Address, error) { return address.NewSecp256k1Address(payload) },
			func() (Address, error) { return address.NewActorAddress(payload) },
			func() (Address, error) { return address.NewBLSAddress(payload) },
			func() (Address, error) { return address.NewDelegatedAddress(uint64(payload[0])+100, payload[:20]) },
		}
		a, err := rapid.SampledFrom(made).Draw(t, "protocol")()
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []Network{Mainnet, Testnet} {
			text := FormatAddress(a, n)
			if want := string(rune(n)) + a.String()[1:]; text != want {
				t.Fatalf("%s, want %s", text, want)
			}
			if back, err := address.NewFromString(text); err != nil || back != a {
				t.Fatalf("%s reads as %s (%v)", text, back, err)
			}
		}
	})
}
