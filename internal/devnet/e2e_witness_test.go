package devnet

import (
	"encoding/json"
	"os"

	"github.com/perdure/perdure/chain/node"
)

// talkative has a node's engine tell of every step if PERDURE_E2E_LOG asks for it.
func (w *town) talkative(name string) {
	w.t.Helper()
	if os.Getenv("PERDURE_E2E_LOG") == "" {
		return
	}
	c, err := node.LoadConfig(w.home(name))
	if err == nil {
		c.EngineLog = "info"
		err = c.Save(w.home(name))
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// testify logs what the nodes and their engines say when what was waited for
// does not come: height, round and step, whose votes are there, and which of
// them each believes the others to have.
func (w *town) testify() {
	for i, p := range w.nodes {
		if p.cmd == nil || p.ended() {
			w.t.Logf("%s does not run", p.name)
			continue
		}
		for _, url := range []string{w.apis[i] + "/v1/status", w.rpcs[i] + "/dump_consensus_state"} {
			var answer json.RawMessage
			get(url, &answer)
			w.t.Logf("%s, %s:\n%s", p.name, url, answer)
		}
	}
}
