package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/node"
	"github.com/perdure/perdure/internal/devnet"
)

// nodeConfig is a whole node, its engine included, that makes a block each second.
type nodeConfig struct {
	Dir      string `json:"dir"`
	Messages int    `json:"messages"` // transfers of a block
}

// nodeOpen is where the node is reached.
type nodeOpen struct {
	API string `json:"api"`
	RPC string `json:"rpc"` // CometBFT's
}

// stamps are the times at which the node had committed heights, in Unix nanoseconds.
type stamps map[chain.Height]int64

// nodeSenders is how many accounts send in turn.
const nodeSenders = 200

// runNode runs a node until its input ends; for each line of it the stamps are written.
func runNode(ctx context.Context, c *nodeConfig, lines *bufio.Scanner, out *json.Encoder) (err error) {
	dir, err := os.MkdirTemp(c.Dir, "node-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s := &sender{messages: c.Messages, at: stamps{}}
	if err := s.accounts(); err != nil {
		return err
	}
	network, err := devnet.Start(devnet.Options{Dir: dir, Accounts: s.genesis, Pace: node.Pace{Commit: time.Second}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, network.Close()) }()
	s.chainID, s.node = network.Params.ChainID, network.Nodes[0].Node
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- s.run(ctx) }()
	defer func() {
		cancel()
		if e := <-done; !errors.Is(e, context.Canceled) {
			err = errors.Join(err, e)
		}
	}()
	if err := out.Encode(nodeOpen{s.node.API(), s.node.RPC()}); err != nil {
		return err
	}
	for lines.Scan() {
		if err := out.Encode(s.stamps()); err != nil {
			return err
		}
	}
	return lines.Err()
}

// sender feeds a node with messages, block by block.
type sender struct {
	messages int
	genesis  []consensus.GenesisAccount
	keys     [][]byte
	from     []chain.Address
	chainID  string
	node     *node.Node

	mu sync.Mutex
	at stamps
}

func (s *sender) accounts() error {
	for i := range uint64(nodeSenders) {
		key := binary.BigEndian.AppendUint64(make([]byte, chain.PrivateKeySize-8), i+1)
		a, err := chain.AddressOfKey(key)
		if err != nil {
			return err
		}
		s.keys, s.from = append(s.keys, key), append(s.from, a)
		s.genesis = append(s.genesis, consensus.GenesisAccount{Address: chain.FormatAddress(a, chain.Testnet), Balance: chain.PDR(1_000_000)})
	}
	return nil
}

func (s *sender) stamps() stamps {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := stamps{}
	for h, t := range s.at {
		out[h] = t
	}
	return out
}

// run notes when heights are committed and submits the messages of the next one.
func (s *sender) run(ctx context.Context) error {
	for n := 0; ; {
		changed := s.node.Store().Changed()
		if view := s.node.Store().View(); view != nil {
			s.mu.Lock()
			if _, ok := s.at[view.Height()]; !ok {
				s.at[view.Height()] = time.Now().UnixNano()
			}
			s.mu.Unlock()
			for range s.messages {
				if err := s.submit(ctx, n); err != nil {
					return err
				}
				n++
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// submit sends transfer n of all.
func (s *sender) submit(ctx context.Context, n int) error {
	i := n % nodeSenders
	body, err := chain.Encode(&chain.Transfer{To: s.from[(i+1)%nodeSenders], Amount: chain.Atto(uint64(n) + 1)})
	if err != nil {
		return err
	}
	m := chain.Message{Version: chain.MessageVersion, From: s.from[i], Nonce: uint64(n / nodeSenders), MaxFee: chain.PDR(1), Kind: chain.KindTransfer, Body: body}
	text, err := m.SignBytes(s.chainID)
	if err != nil {
		return err
	}
	signature, err := chain.Sign(s.keys[i], text)
	if err != nil {
		return err
	}
	raw, err := chain.Encode(&chain.SignedMessage{Message: m, Signature: signature})
	if err != nil {
		return err
	}
	var refusal *consensus.Refusal
	if err := s.node.Submit(ctx, raw); errors.As(err, &refusal) {
		return fmt.Errorf("message %d: %s", n, refusal.Text)
	} else if err != nil {
		return err
	}
	return nil
}

// listenConfig is a process of listeners to a node's stream of events.
type listenConfig struct {
	URL       string        `json:"url"` // of the stream, topics included
	Listeners int           `json:"listeners"`
	Time      time.Duration `json:"time"`
}

// heard is what came of a height.
type heard struct {
	Height    chain.Height `json:"height"`
	Listeners int          `json:"listeners"` // that heard of it
	Least     int          `json:"least"`     // frames of one listener
	Most      int          `json:"most"`
	Doubles   int          `json:"doubles"` // frames that a listener had before
	Last      int64        `json:"last"`    // when the last frame came to the last listener, Unix nanoseconds
}

// ear is what one listener noted of a height.
type ear struct {
	frames, doubles int
	last            int64
}

// runListeners listens for a while.
func runListeners(ctx context.Context, c *listenConfig) ([]heard, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	all, failed := make([]map[chain.Height]*ear, c.Listeners), make(chan error, c.Listeners)
	var wg sync.WaitGroup
	for i := range c.Listeners {
		all[i] = map[chain.Height]*ear{}
		wg.Go(func() { failed <- listen(ctx, c.URL, all[i]) })
	}
	var err error
	select {
	case <-time.After(c.Time):
	case <-ctx.Done():
	case err = <-failed:
		err = fmt.Errorf("a listener was cut off: %w", err)
	}
	cancel()
	wg.Wait()
	if err != nil {
		return nil, err
	}
	sum := map[chain.Height]*heard{}
	for _, one := range all {
		for h, e := range one {
			s := sum[h]
			if s == nil {
				s = &heard{Height: h, Least: e.frames}
				sum[h] = s
			}
			s.Listeners++
			s.Least, s.Most, s.Last = min(s.Least, e.frames), max(s.Most, e.frames), max(s.Last, e.last)
			s.Doubles += e.doubles
		}
	}
	out := make([]heard, 0, len(sum))
	for _, s := range sum {
		out = append(out, *s)
	}
	return out, nil
}

// listen reads one stream of server-sent events into notes.
func listen(ctx context.Context, address string, notes map[chain.Height]*ear) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	where, err := url.Parse(address)
	if err != nil {
		return err
	}
	var dial net.Dialer
	conn, err := dial.DialContext(ctx, "tcp", where.Host)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if err := r.Write(conn); err != nil {
		return err
	}
	answer, err := http.ReadResponse(bufio.NewReaderSize(conn, 16<<10), r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return errors.New(answer.Status)
	}
	lines := bufio.NewReaderSize(answer.Body, 16<<10)
	seen := map[string]bool{}
	for {
		line, err := lines.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) { // the rest of a long frame says nothing new
			continue
		}
		if err != nil {
			return err
		}
		if frame, ok := bytes.CutPrefix(line, []byte("data:")); ok {
			note(frame, notes, seen)
		}
	}
}

// note takes a frame down; what has no height is none of a topic's.
func note(frame []byte, notes map[chain.Height]*ear, seen map[string]bool) {
	h, err := strconv.ParseUint(field(frame, `"height":`), 10, 63)
	topic := field(frame, `"topic":`)
	if err != nil || topic == "" {
		return
	}
	e := notes[chain.Height(h)]
	if e == nil {
		e = new(ear)
		notes[chain.Height(h)] = e
		clear(seen) // heights come in order
	}
	cursor := field(frame, `"cursor":`) + topic
	if seen[cursor] {
		e.doubles++
	}
	seen[cursor] = true
	e.frames++
	e.last = time.Now().UnixNano()
}

// field finds the beginning of a value in JSON that our own server wrote, without
// decoding all of it: a thousand listeners share a processor with the node.
func field(frame []byte, name string) string {
	_, rest, ok := bytes.Cut(frame, []byte(name))
	if !ok {
		return ""
	}
	end := bytes.IndexAny(rest, ",}")
	if end < 0 {
		return ""
	}
	return string(bytes.Trim(rest[:end], `" `))
}
