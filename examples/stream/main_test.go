package main

import (
	"bytes"
	"context"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/wallet"
	"github.com/perdure/perdure/client"
	"github.com/perdure/perdure/client/clienttest"
	"github.com/perdure/perdure/retrieval/p2p"
)

// TestStream runs the example on a chain with two miners.
func TestStream(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	n := clienttest.NewNetwork(t, chain.Atto(1_000_000_000), chain.Atto(2_000_000_000))
	data := make([]byte, 700_000)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(data)
	var out bytes.Buffer
	if err := storeAndRead(ctx, open(t, n.Chain), bytes.NewReader(data), &out); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), data[1000:1100]) {
		t.Error("other bytes came back")
	}
}

// open makes a client with money of the chain.
func open(t *testing.T, c *clienttest.Chain) *client.Client {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	home := t.TempDir()
	identity, err := p2p.LoadIdentity(filepath.Join(home, "identity"))
	must(err)
	host, err := p2p.New(p2p.Config{Identity: identity})
	must(err)
	t.Cleanup(func() { must(host.Close()) })
	sender, err := wallet.NewSender(c, clienttest.Key(clienttest.ClientKey), chain.Amount{})
	must(err)
	opened, err := client.New(client.Config{Home: home, Chain: c, Directory: c, Sender: sender, Host: host})
	must(err)
	t.Cleanup(func() { must(opened.Close()) })
	return opened
}
