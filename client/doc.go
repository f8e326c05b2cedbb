// Package client stores files on Perdure and fetches them back. It is what the
// commands put, get, ls, funds and client run call, and what programs import.
//
// # Open
//
// A Client is one home's: a directory with its records, its keys and its payment
// ledger, which several processes may use at a time.
//
//	c, err := client.Open(client.Options{Home: dir, Node: "http://127.0.0.1:26660", Key: key})
//	defer c.Close()
//
// Node is a chain node that is believed; give a light.Node as Chain to believe none.
// Key is a secp256k1 private key whose account pays. Without one a Client lists and
// quotes, and as a Guest it gets what is given away.
//
// # Store
//
// Put stores a file, a directory or standard input, PutReader any stream, with memory
// that does not grow with the bytes:
//
//	stored, err := c.PutReader(ctx, src, client.PutOptions{Copies: 2})
//	fmt.Println(stored.Root, stored.State())
//
// It packs the content into pieces, shows what they cost (PutOptions.Approve, or Quote
// beforehand), bids for each in the order book, serves the miners that match, and returns
// when every copy is in a proven sector or never will be. Nothing is lost when it is
// stopped: Run, or the same Put again, goes on, and nothing is paid twice.
//
// Content is encrypted before it leaves the machine unless PutOptions.Public is set; the
// key stays in the home. Whoever loses the home loses the content. The root of public
// content is the CID that every IPFS tool gives it.
//
// # Fetch
//
// Get writes what a root names to a file, a directory or a writer, whole or a part:
//
//	fetched, err := c.Get(ctx, root, "photos", client.GetOptions{})
//	fetched, err := c.Get(ctx, root, "a.jpg", client.GetOptions{Path: []string{"2024", "a.jpg"}})
//	fetched, err := c.Get(ctx, root, "", client.GetOptions{To: w, Range: &client.Range{Offset: 1000, Length: 100}})
//
// OpenFile reads a file in any order, as an io.ReaderAt and io.ReadSeekCloser:
//
//	file, err := c.OpenFile(ctx, root, client.GetOptions{})
//	defer file.Close()
//	n, err := file.ReadAt(buf, 1_000_000)
//
// Sellers are those of the deals on chain and on record, then those that Finders name;
// all of them are asked at once. Every block is checked against its CID before it is
// paid or handed on. A seller that lies is left for another, and no process of the home
// asks it for a day.
//
// # Money
//
// Fetching pays by payment channels, which open, are topped up and are closed by
// themselves. Funds says where all money is; Deposit pays ahead, so that a Get need not
// wait for a block; Withdraw gets back what is left; Transfers has what each fetch cost.
//
// # Run
//
// Run serves what was put before and looks after deals and channels, until it is stopped.
// A program that stores and goes away leaves it running, or runs `perdure client run`.
//
// # Errors
//
// ErrNoNode and ErrNoKey name the part that a Client lacks, ErrNotStored content that
// nobody is known to have, buyer.ErrNoSeller content that nobody delivers at the price,
// buyer.ErrBudget a budget that is used up, fetch.ErrNoEntry a path that leads nowhere,
// ErrRange a range behind the end, files.ErrLocked another process at the same work.
// All are wrapped.
package client
