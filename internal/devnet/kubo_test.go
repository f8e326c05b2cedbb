package devnet

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/perdure/perdure/client"
	"github.com/perdure/perdure/miner/daemon"
	"github.com/perdure/perdure/retrieval/gateway/kubotest"
)

// openDoors restarts a miner that gives away what its clients call public, by HTTP
// and bitswap, and returns the URL of its gateway.
func (s *stage) openDoors(m *Miner) string {
	s.t.Helper()
	if err := m.Stop(); err != nil {
		s.t.Fatal(err)
	}
	path := daemon.ConfigPath(m.Home)
	cfg, err := daemon.LoadConfig(path)
	if err != nil {
		s.t.Fatal(err)
	}
	cfg.Public = daemon.PublicConfig{HTTP: "127.0.0.1:0", Bitswap: true, Free: []string{"public"}}
	if err := cfg.Save(path); err != nil {
		s.t.Fatal(err)
	}
	if err := m.Start(s.ctx, s.chain.Base()); err != nil {
		s.t.Fatal(err)
	}
	return "http://" + m.daemon.GatewayAddr()
}

// download fetches what a gateway has under a path.
func download(url string) ([]byte, error) {
	resp, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, resp.Status)
	}
	return body, err
}

// TestKuboMiner: an ordinary IPFS node fetches public files from a miner, by bitswap
// and as archives from its gateway, and takes none of which a byte is flipped, a
// byte is missing or one too many on the miner's disk. It needs the program of a node.
func TestKuboMiner(t *testing.T) {
	program := kubotest.Program(t)
	s := setStage(t, 1)
	m := s.Miners[0]
	base := s.openDoors(m)
	dir, content := t.TempDir(), func(i int) []byte { return some(250, byte('a'+i)) }
	for i := range 5 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), content(i), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := s.client()
	var put *client.PutResult
	s.during("put", func() (err error) {
		put, err = c.Put(s.ctx, dir, client.PutOptions{Public: true, Copies: 1})
		return err
	})
	root := base + "/ipfs/" + put.Root
	s.until("given away", func() bool { _, err := download(root + "/0"); return err == nil })

	byBitswap, byArchive := kubotest.New(t, program), kubotest.New(t, program)
	byBitswap.Daemon("--enable-gc=false")
	for _, a := range m.Addrs() {
		if strings.Contains(a, "/tcp/") {
			byBitswap.Run("swarm", "connect", a)
		}
	}
	ways := map[string]func(i int) (string, error){
		"bitswap": func(i int) (string, error) {
			return byBitswap.Try("cat", "--timeout=6s", fmt.Sprintf("%s/%d", put.Root, i))
		},
		"archive": func(i int) (string, error) {
			archive, err := download(fmt.Sprintf("%s/%d?format=car", root, i))
			if err == nil {
				err = byArchive.Import(archive)
			}
			if err != nil {
				return "", err
			}
			return byArchive.Try("cat", "--offline", fmt.Sprintf("%s/%d", put.Root, i))
		},
	}
	piece := pieceOf(t, m)
	whole, err := os.ReadFile(piece)
	if err != nil {
		t.Fatal(err)
	}
	at := func(i int) int { return bytes.Index(whole, content(i)) + 100 }
	for i, damage := range []struct {
		name  string
		bytes []byte
	}{
		{"whole", whole},
		{"byte flipped", slices.Concat(whole[:at(1)], []byte{whole[at(1)] ^ 1}, whole[at(1)+1:])},
		{"byte missing", slices.Concat(whole[:at(2)], whole[at(2)+1:])},
		{"byte too many", slices.Concat(whole[:at(3)], []byte{0}, whole[at(3):])},
		{"whole again", whole},
	} {
		if err := os.WriteFile(piece, damage.bytes, 0o600); err != nil {
			t.Fatal(err)
		}
		for way, fetch := range ways {
			got, err := fetch(i)
			if good := bytes.Equal(damage.bytes, whole); (err == nil) != good || good && got != string(content(i)) {
				t.Errorf("%s, %s: %d bytes, %v", damage.name, way, len(got), err)
			}
		}
	}
	s.check()
}

// pieceOf is the only piece on a miner's disk.
func pieceOf(t *testing.T, m *Miner) string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(m.Home, func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".car") {
			found = append(found, path)
		}
		return err
	})
	if err != nil || len(found) != 1 {
		t.Fatalf("pieces %q, %v", found, err)
	}
	return found[0]
}
