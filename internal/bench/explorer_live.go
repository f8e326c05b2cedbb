package bench

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
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

// stamps say what the node had committed, and when.
type stamps map[chain.Height]stamp

// stamp is of one height.
type stamp struct {
	At     int64 `json:"at"`     // Unix nanoseconds; 0: not known
	Frames int   `json:"frames"` // that tell of it on the topics block and message
}

// nodeSenders is how many accounts send in turn.
const nodeSenders = 200

// runNode runs a node until its input ends; for each line of it the stamps are written.
func runNode(ctx context.Context, c *nodeConfig, lines *bufio.Scanner, out *json.Encoder) (err error) {
	dir, err := os.MkdirTemp(c.Dir, "node-*")
	if err != nil {
		return err
	}
	defer func() { _ = devnet.Remove(dir) }()
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

	mu  sync.Mutex
	at  stamps
	tip chain.Height // up to which at goes
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
	return maps.Clone(s.at)
}

// note stamps the heights up to one that was committed just before now. When
// those that came and went between two looks were is not known.
func (s *sender) note(tip chain.Height, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.tip < tip {
		raw, err := s.node.Store().Update(s.tip + 1)
		if err != nil {
			return err
		}
		var u consensus.Update
		if err := chain.Decode(raw, &u); err != nil {
			return fmt.Errorf("update of block %d: %w", s.tip+1, err)
		}
		s.tip++
		of := stamp{Frames: 1 + len(u.Receipts)}
		if s.tip == tip {
			of.At = now.UnixNano()
		}
		s.at[s.tip] = of
	}
	return nil
}

// run notes when heights are committed and submits the messages of the next one.
func (s *sender) run(ctx context.Context) error {
	for n := 0; ; {
		changed := s.node.Store().Changed()
		if view := s.node.Store().View(); view != nil {
			if err := s.note(view.Height(), time.Now()); err != nil {
				return err
			}
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
