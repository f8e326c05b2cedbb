package p2p

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/perdure/perdure/chain"
)

// TestDHT: a peer that knows only a third one finds who announced a payload.
func TestDHT(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	hub := newHost(t, nil)
	if _, err := hub.FindProviders(ctx, rawCID(t, "x"), 1); !errors.Is(err, ErrNoDHT) {
		t.Errorf("before it joined: %v", err)
	}
	if err := hub.JoinDHT(ctx, DHTConfig{Server: true}); err != nil {
		t.Fatal(err)
	}
	if err := hub.JoinDHT(ctx, DHTConfig{}); err == nil {
		t.Error("joined twice")
	}
	miner, client := newHost(t, nil), newHost(t, nil)
	for _, h := range []*Host{miner, client} {
		if err := h.JoinDHT(ctx, DHTConfig{Bootstrap: hub.Addrs()}); err != nil {
			t.Fatal(err)
		}
		if err := h.Connect(ctx, hub.Self()); err != nil {
			t.Fatal(err)
		}
	}
	root := rawCID(t, "announced")
	for miner.Announce(ctx, root) != nil { // until it knows that the hub is in the table
		if ctx.Err() != nil {
			t.Fatal(ctx.Err())
		}
		time.Sleep(10 * time.Millisecond)
	}
	for {
		found, err := client.FindProviders(ctx, root, 3)
		if err != nil {
			t.Fatal(err)
		}
		if len(found) > 0 {
			if string(found[0].ID) != miner.ID() || len(found[0].Addrs) == 0 {
				t.Errorf("found %v", FormatAddrs(found[0]))
			}
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := hub.JoinDHT(ctx, DHTConfig{Bootstrap: []string{"nowhere"}}); err == nil {
		t.Error("a bootstrap address that is none is taken")
	}
}

func TestDelegated(t *testing.T) {
	peerID := newHost(t, nil).host.ID().String()
	other := newHost(t, nil).host.ID().String()
	record := func(schema, id string, addrs ...string) string {
		return fmt.Sprintf(`{"Schema":%q,"ID":%q,"Addrs":["%s"],"Protocols":["transport-bitswap"]}`, schema, id, strings.Join(addrs, `","`))
	}
	for name, c := range map[string]struct {
		status int
		body   string
		want   string
		fails  bool
	}{
		"one":         {200, `{"Providers":[` + record("peer", peerID, "/ip4/192.0.2.1/tcp/1", "/ip4/192.0.2.1/tcp/2/p2p/"+peerID, "/x", "/ip4/192.0.2.1/tcp/3/p2p/"+other) + `]}`, peerID + ":2", false},
		"unknown":     {200, `{"Providers":[` + record("new", peerID) + `,` + record("peer", "x") + `,` + record("peer", other, "/ip4/192.0.2.1/tcp/1") + `]}`, other + ":1", false},
		"limit":       {200, `{"Providers":[` + record("peer", peerID, "/x") + `,` + record("peer", other, "/x") + `,` + record("peer", other, "/x") + `]}`, peerID + ":0 " + other + ":0", false},
		"none":        {200, `{"Providers":null}`, "", false},
		"older none":  {404, `no`, "", false},
		"down":        {500, `no`, "", true},
		"no JSON":     {200, `<html>`, "", true},
		"too much":    {200, `{"Providers":[]}` + strings.Repeat(" ", maxDelegated), "", true},
		"other shape": {200, `{"Providers":{"a":1}}`, "", true},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/routing/v1/providers/"+rawCID(t, "x").String() || r.Header.Get("Accept") != "application/json" {
				t.Errorf("asked %s for %s", r.URL.Path, r.Header.Get("Accept"))
			}
			w.WriteHeader(c.status)
			fmt.Fprint(w, c.body)
		}))
		var finder Finder = Delegated{URL: server.URL + "/", HTTP: server.Client()}
		found, err := finder.FindProviders(t.Context(), rawCID(t, "x"), 2)
		server.Close()
		var got []string
		for _, p := range found {
			got = append(got, fmt.Sprintf("%s:%d", FormatPeer(string(p.ID)), len(p.Addrs)))
		}
		if (err != nil) != c.fails || strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q, %v; want %q", name, got, err, c.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (Delegated{URL: "http://127.0.0.1:1"}).FindProviders(ctx, rawCID(t, "x"), 1); !errors.Is(err, context.Canceled) {
		t.Errorf("after its end: %v", err)
	}
}

// FuzzProviders: no answer of a server breaks the client.
func FuzzProviders(f *testing.F) {
	f.Add([]byte(`{"Providers":[{"Schema":"peer","ID":"12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN","Addrs":["/ip4/192.0.2.1/tcp/1"]}]}`))
	f.Add([]byte(`{"Providers":[{"Schema":"peer","ID":"","Addrs":[""]}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		found, err := parseProviders(raw, 10)
		if err == nil && len(found) > 10 {
			t.Errorf("%d peers", len(found))
		}
		for _, p := range found {
			if read, err := ParsePeer(FormatAddrs(chain.Peer{ID: p.ID, Addrs: p.Addrs})...); err != nil || string(read.ID) != string(p.ID) {
				t.Errorf("peer %x: %v", p.ID, err)
			}
		}
	})
}
