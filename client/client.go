package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/orderbook"
	"github.com/perdure/perdure/chain/rpc"
	"github.com/perdure/perdure/chain/wallet"
	"github.com/perdure/perdure/client/deals"
	"github.com/perdure/perdure/client/files"
	"github.com/perdure/perdure/internal/lifecycle"
	"github.com/perdure/perdure/retrieval/buyer"
	"github.com/perdure/perdure/retrieval/p2p"
)

// Directory finds what the chain's records cannot be asked for by key.
type Directory interface {
	// Asks returns a page of the asks that may take a piece, the cheapest first, and the
	// cursor of the next page, empty if there is none.
	Asks(ctx context.Context, w *orderbook.Wanted, cursor string) (asks []*chain.Order, next string, err error)
	// Bids returns the best bids that pay a price, attoPDR per GiB per block, or more; of
	// them only those that have not looked at all asks yet, if fresh.
	Bids(ctx context.Context, price chain.Amount, fresh bool) ([]*chain.Order, error)
	// Delays returns how many blocks recent deals took from the match to the proof.
	Delays(ctx context.Context) ([]uint64, error)
	// DealsOf returns the IDs of the deals over pieces of a payload, and of those whose
	// miners say that their piece holds it among others.
	DealsOf(ctx context.Context, root string) (deals, claimed []uint64, err error)
	// DealsOfPiece returns the IDs of the deals over a piece.
	DealsOfPiece(ctx context.Context, piece string) ([]uint64, error)
}

// Host is the client's place on the network; a p2p.Host is one.
type Host interface {
	deals.Host
	buyer.Dialer
	Serve(handle p2p.Handler)
}

// Config is what a Client is made of. Without a Chain it can only pack, list
// and quote sizes; without a Sender and a Host it cannot Put, Get or Run, without
// a Sender alone it gets what costs nothing.
type Config struct {
	Home      string // directory of the client's own files
	Chain     deals.Chain
	Directory Directory
	Sender    deals.Sender
	Host      Host
	Buyer     buyer.Config // how sellers are treated; its ports are filled in
	Batch     Batch        // when Run flushes what waits in the batch
	Finders   []Finder     // asked for sellers that the chain does not know
	Gateways  []string     // URLs; asked for pieces that no deal in force is over
	Log       *slog.Logger // nil: none
}

// Client is one home's client. It may be used from many goroutines.
type Client struct {
	cfg     Config
	log     *slog.Logger
	records *files.Records
	market  *deals.Market
	parts   lifecycle.Group // what Open opened

	serving sync.Once
	served  error
	ledger  sharedLedger
	opening chan struct{} // held while a channel is opened
	sight   sight

	mu        sync.Mutex
	listeners map[int]func(deals.Event)
	next      int
}

// New makes a client of its parts. Close lets go of it, not of the parts.
func New(cfg Config) (*Client, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	records, err := files.Open(cfg.Home)
	if err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg, log: cfg.Log, records: records, opening: make(chan struct{}, 1), listeners: map[int]func(deals.Event){}}
	c.ledger.home = records
	c.market = deals.New(deals.Config{Chain: cfg.Chain, Sender: cfg.Sender, Host: cfg.Host, Records: records, Log: cfg.Log, Event: c.tell})
	return c, nil
}

// Options are what Open makes a client of.
type Options struct {
	Home  string // the user's home directory of Perdure; the client's files are in client/
	Node  string // URL of a chain node's API; empty: offline
	Chain Node   // what is asked in place of Node, such as a light.Node; Close closes it, too
	Key   []byte // secp256k1 private key that signs and pays; nil: only reading
	Guest bool   // without a Key, get what is given away
	// Listen are multiaddrs; nil: free ports of all interfaces, which a miner behind
	// a router needs to meet the client directly. None: the client only dials.
	Listen []string
	Buyer  buyer.Config
	Batch  Batch // when Run flushes what waits in the batch
	// Finders are asked for sellers of content that the chain does not know, beside
	// the distributed hash table that the chain's miners are in.
	Finders []Finder
	// Gateways are URLs that are asked for /piece/CID when no deal in force is over a
	// piece.
	Gateways []string
	Log      *slog.Logger
}

// Node is what a client needs of a chain node: an rpc.Client, which believes its
// node, or a light.Node, which proves what decides over money. Lists by JSON are
// hints in both.
type Node interface {
	deals.Chain
	rpc.Explorer
	io.Closer
}

// homeOf is where a user's home keeps the client's files.
func homeOf(home string) string { return filepath.Join(home, "client") }

// Open makes a client that talks to a node and, with a key, has a libp2p host of
// its own. It does not ask the node anything yet.
func Open(o Options) (*Client, error) {
	cfg := Config{Home: homeOf(o.Home), Buyer: o.Buyer, Batch: o.Batch, Finders: o.Finders, Gateways: o.Gateways, Log: o.Log}
	var parts lifecycle.Group
	fail := func(err error) (*Client, error) {
		return nil, errors.Join(fmt.Errorf("open client: %w", err), parts.Close())
	}
	if o.Chain != nil {
		parts.OnClose("node client", o.Chain.Close)
	}
	if o.Home == "" {
		return fail(errors.New("no home directory: give --home"))
	}
	o.dial(&cfg, &parts)
	if cfg.Chain != nil && o.Key != nil {
		sender, err := wallet.NewSender(cfg.Chain, o.Key, chain.Amount{})
		if err != nil {
			return fail(err)
		}
		cfg.Sender = sender
	}
	if cfg.Sender != nil || o.Guest {
		if err := o.join(&cfg, &parts); err != nil {
			return fail(err)
		}
	}
	c, err := New(cfg)
	if err != nil {
		return fail(err)
	}
	c.parts = parts
	return c, nil
}

// dial says what the chain is asked by.
func (o *Options) dial(cfg *Config, parts *lifecycle.Group) {
	switch {
	case o.Chain != nil:
		of := nodeDirectory{node: o.Chain}
		if _, believes := o.Chain.(*rpc.Client); !believes {
			of.records = o.Chain
		}
		cfg.Chain, cfg.Directory = o.Chain, of
	case o.Node != "":
		node := rpc.New(o.Node)
		parts.OnClose("node client", node.Close)
		cfg.Chain, cfg.Directory = node, nodeDirectory{node: node}
	}
	if node, ok := cfg.Chain.(*rpc.Client); ok && o.Log != nil {
		logTrouble(node, o.Log)
	}
}

// join opens the host by which others are met, and asks the hash table, too.
func (o *Options) join(cfg *Config, parts *lifecycle.Group) error {
	identity, err := p2p.LoadIdentity(filepath.Join(cfg.Home, "identity"))
	if err != nil {
		return err
	}
	listen := o.Listen
	if listen == nil {
		listen = p2p.AllAddrs(0)
	}
	host, err := p2p.New(p2p.Config{Identity: identity, Listen: listen, NAT: p2p.NAT{Mode: p2p.Dials}})
	if err != nil {
		return err
	}
	parts.OnClose("host", host.Close)
	cfg.Host = host
	if explorer, ok := cfg.Chain.(rpc.Explorer); ok {
		cfg.Finders = append([]Finder{&p2p.Table{Host: host, Node: explorer}}, cfg.Finders...)
	}
	return nil
}

// logTrouble has it logged that a node is away, and that it is back.
func logTrouble(node *rpc.Client, log *slog.Logger) {
	node.OnTrouble(func(err error) {
		if err != nil {
			log.Warn("the node does not answer; waiting for it", "node", node.Base(), "err", err)
			return
		}
		log.Warn("the node answers again", "node", node.Base())
	})
}

// Close lets go of what Open opened.
func (c *Client) Close() error { return c.parts.Close() }

// Errors of clients that lack a part.
var (
	ErrNoNode = errors.New("no node: give --node")
	ErrNoKey  = errors.New("no key to sign with")
)

// ready says whether the client can send, and begins to serve miners.
func (c *Client) ready(ctx context.Context) error {
	switch {
	case c.cfg.Chain == nil:
		return ErrNoNode
	case c.cfg.Sender == nil || c.cfg.Host == nil:
		return ErrNoKey
	}
	p, err := c.cfg.Chain.Params(ctx)
	if err != nil {
		return err
	}
	c.serving.Do(func() {
		s, err := c.market.Seller(p.ChainID)
		if err != nil {
			c.served = err
			return
		}
		c.cfg.Host.Serve(func(ctx context.Context, stream io.ReadWriteCloser, peer string) { s.Handle(ctx, stream, peer) })
	})
	return c.served
}

// listen makes hear hear of what happens to bids and deals, until stop.
func (c *Client) listen(hear func(deals.Event)) (stop func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := c.next
	c.next++
	c.listeners[id] = hear
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.listeners, id)
	}
}

func (c *Client) tell(e deals.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, hear := range c.listeners {
		hear(e)
	}
}

// Run places bids that a killed Put left unplaced, serves miners what they
// matched, follows all deals, flushes the batch when it is due, closes payment channels
// that are of no use any more, and logs what will go wrong unless something is done,
// until ctx ends.
func (c *Client) Run(ctx context.Context) error {
	if err := c.ready(ctx); err != nil {
		return fmt.Errorf("run client: %w", err)
	}
	if err := c.records.Sweep(ctx); err != nil {
		return fmt.Errorf("run client: %w", err)
	}
	var parts lifecycle.Group
	parts.Add("deals", c.market.Attend)
	parts.Add("unplaced bids", c.placeAll)
	parts.Add("batch", c.flushDue)
	parts.Add("channels", c.tidyChannels)
	parts.Add("warnings", c.warn)
	if err := parts.Run(ctx); err != nil {
		return fmt.Errorf("run client: %w", err)
	}
	return nil
}
