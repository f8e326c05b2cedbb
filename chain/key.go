package chain

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/filecoin-project/go-address"
)

// ParsePath reads table and key in one word, as people write them: the table's
// name and, but for global, a slash and the key, such as miner/t01000,
// sector/t01000/3, deal/17 and account/ADDRESS.
func ParsePath(path string) (Key, error) {
	name, key, _ := strings.Cut(path, "/")
	table, ok := ParseTable(name)
	if !ok {
		return Key{}, fmt.Errorf("unknown table %q", name)
	}
	return ParseKey(table, key)
}

// FormatPath writes a key so that ParsePath reads it. A key that is not of its
// table's shape is written in hexadecimal.
func FormatPath(k Key, n Network) string {
	if k.Table.Shape() == ShapeSingle && k.ID == "" {
		return k.Table.String()
	}
	return k.Table.String() + "/" + formatKey(k, n)
}

func formatKey(k Key, n Network) string {
	var numbers [2]uint64
	for i := range len(k.ID) / 8 {
		if i < len(numbers) {
			numbers[i] = binary.BigEndian.Uint64([]byte(k.ID[8*i:]))
		}
	}
	switch {
	case k.Table == TableAccount:
		if a, err := address.NewFromBytes([]byte(k.ID)); err == nil {
			return FormatAddress(a, n)
		}
	case k.Table == TableMiner && len(k.ID) == 8:
		return FormatMiner(numbers[0], n)
	case k.Table == TableSector && len(k.ID) == 16:
		return fmt.Sprintf("%s/%d", FormatMiner(numbers[0], n), numbers[1])
	case k.Table == TablePartition && len(k.ID) == 16:
		return fmt.Sprintf("%s/%d/%d", FormatMiner(numbers[0], n), numbers[1]>>32, numbers[1]&(1<<32-1))
	case k.Table == TableQueue && len(k.ID) == 16:
		q, h, index := ParseQueueID(k.ID)
		return fmt.Sprintf("%d/%d/%d", h, q, index)
	case k.Table.Shape() == ShapeDense && len(k.ID) == 8:
		return strconv.FormatUint(numbers[0], 10)
	}
	return hex.EncodeToString([]byte(k.ID))
}

// ParseKey reads the key of a table's record as people write it: nothing for
// global, an address for account, t01000 for miner, t01000/7 for sector,
// t01000/DEADLINE/INDEX for partition, a number for order, deal, channel and
// beacon, HEIGHT/QUEUE/INDEX for queue, hexadecimal for replay.
func ParseKey(t Table, s string) (Key, error) {
	switch t {
	case TableGlobal:
		if s != "" {
			return Key{}, fmt.Errorf("key %q: there is one %s record, without a key", s, t)
		}
		return GlobalKey(), nil
	case TableAccount:
		a, err := ParseAddress(s)
		if err != nil {
			return Key{}, err
		}
		return AccountKey(a), nil
	case TableMiner, TableSector, TablePartition:
		return parseMinerKey(t, s)
	case TableOrder, TableDeal, TableChannel, TableBeacon:
		id, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			return Key{}, fmt.Errorf("key %q: want a number", s)
		}
		return dense(t, id), nil
	}
	if t == TableQueue {
		return parseQueueKey(s)
	}
	raw, err := hex.DecodeString(s)
	if err != nil || len(raw) == 0 || len(raw) > 64 {
		return Key{}, fmt.Errorf("key %q: want 1 to 64 bytes in hexadecimal", s)
	}
	return Key{Table: t, ID: string(raw)}, nil
}

// parseQueueKey reads HEIGHT/QUEUE/INDEX.
func parseQueueKey(s string) (Key, error) {
	parts := strings.Split(s, "/")
	var n [3]uint64
	for i, text := range parts {
		var err error
		if len(parts) != len(n) {
			break
		}
		if n[i], err = strconv.ParseUint(text, 10, 64-queueBits); err != nil {
			return Key{}, fmt.Errorf("key %q: want HEIGHT/QUEUE/INDEX", s)
		}
	}
	if len(parts) != len(n) || n[1] >= 1<<queueBits {
		return Key{}, fmt.Errorf("key %q: want HEIGHT/QUEUE/INDEX", s)
	}
	return QueueKey(Queue(n[1]), Height(n[0]), n[2]), nil
}

// parseMinerKey reads a miner and the numbers behind it.
func parseMinerKey(t Table, s string) (Key, error) {
	forms := map[Table]string{TableMiner: "t01000", TableSector: "t01000/NUMBER", TablePartition: "t01000/DEADLINE/INDEX"}
	parts := strings.Split(s, "/")
	if len(parts) != strings.Count(forms[t], "/")+1 {
		return Key{}, fmt.Errorf("key %q: want %s", s, forms[t])
	}
	id, err := ParseMiner(parts[0])
	if err != nil {
		return Key{}, err
	}
	var numbers [2]uint64
	for i, text := range parts[1:] {
		if numbers[i], err = strconv.ParseUint(text, 10, 32); err != nil {
			return Key{}, fmt.Errorf("key %q: want %s", s, forms[t])
		}
	}
	switch t {
	case TableSector:
		return SectorKey(id, numbers[0]), nil
	case TablePartition:
		return PartitionKey(id, numbers[0], numbers[1]), nil
	}
	return MinerKey(id), nil
}
