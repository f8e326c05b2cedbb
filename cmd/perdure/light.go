package main

import (
	"fmt"
	"path/filepath"

	"github.com/perdure/perdure/chain/rpc"
	"github.com/perdure/perdure/chain/rpc/light"
	"github.com/perdure/perdure/client"
)

// dialled is a client of a node.
type dialled interface {
	client.Node
	Base() string
}

// dial returns a client of the node of --node, with --light one that verifies;
// the caller closes it.
func (g *globals) dial() (dialled, error) {
	if !g.Light {
		return g.plain(), nil
	}
	trust, err := g.trusted()
	if err != nil {
		return nil, err
	}
	o := light.Options{Node: g.nodeURL(), Witnesses: g.Witness, Trust: trust}
	if g.Home != "" {
		o.File = filepath.Join(g.Home, "light.json")
	}
	node, err := light.New(o)
	if err != nil {
		return nil, usage(err)
	}
	return node, nil
}

// plain returns a client that believes the node of --node.
func (g *globals) plain() *rpc.Client { return rpc.New(g.nodeURL()) }

// trusted reads --trust; without it nothing is trusted.
func (g *globals) trusted() (light.Trust, error) {
	if g.Trust == "" {
		return light.Trust{}, nil
	}
	t, err := light.ParseTrust(g.Trust)
	if err != nil {
		return t, usage(fmt.Errorf("--trust %w", err))
	}
	return t, nil
}
