package layers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	// partSuffix is added to the place of a layer while it grows.
	partSuffix = ".part"
	// marksSuffix is added for the file that says how far it has grown.
	marksSuffix = ".part.json"

	marksVersion = 1
)

// marks says up to where a growing layer was right, so that a killed process goes on from there. It
// names what the layer is of: the layer of another ticket must not be continued.
type marks struct {
	Version   int    `json:"version"`
	ReplicaID string `json:"replicaId"` // hex
	Layer     uint32 `json:"layer"`
	First     uint64 `json:"first"` // node where the digests start
	Marks     []mark `json:"marks"` // ascending
}

// mark is the digest of all labels before a node.
type mark struct {
	Nodes  uint64 `json:"nodes"`
	Digest string `json:"digest"` // hex
}

// save writes the marks of a layer beside it. After a power loss they are these or those before,
// which costs some work and nothing else.
func (m *marks) save(path string) error {
	raw, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return replaceFile(path+marksSuffix, append(raw, '\n'))
}

// loadMarks returns the marks of a growing layer that fit want. There are none if the file is
// missing, torn or of another layer.
func loadMarks(path string, want marks) ([]mark, error) {
	raw, err := os.ReadFile(path + marksSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var found marks
	if json.Unmarshal(raw, &found) != nil || found.Version != want.Version || found.ReplicaID != want.ReplicaID ||
		found.Layer != want.Layer || found.First != want.First {
		return nil, nil
	}
	return found.Marks, nil
}

// prefix is how far a layer is known to be right, and the digest of it.
type prefix struct {
	nodes  uint64
	digest *digest
}

// verify reads a growing layer up to the last mark and returns the longest prefix whose digest is
// the one that was noted. The first node is where digests start.
func verify(ctx context.Context, file io.ReaderAt, first uint64, noted []mark) (prefix, error) {
	running := newDigest()
	best, at := prefix{first, newDigest()}, first
	for _, m := range noted {
		for at < m.Nodes {
			if err := ctx.Err(); err != nil {
				return best, err
			}
			n := min(m.Nodes-at, chunkNodes)
			if _, err := io.Copy(running, io.NewSectionReader(file, int64(at*nodeSize), int64(n*nodeSize))); err != nil {
				return best, err
			}
			at += n
		}
		if at != m.Nodes || running.hex() != m.Digest {
			break
		}
		state, err := running.clone()
		if err != nil {
			return best, err
		}
		best = prefix{at, state}
	}
	return best, nil
}

// replaceFile writes a small file beside its place and moves it there, whole or not at all.
func replaceFile(path string, content []byte) error {
	file, err := os.OpenFile(path+".tmp", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Write(content); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}

// moveFile renames a file that is synced, durably.
func moveFile(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return fmt.Errorf("sync %s: %w", dir.Name(), err)
	}
	return nil
}

// Discard removes what has grown of the layer of a path, if anything.
func Discard(path string) error {
	for _, suffix := range []string{marksSuffix, partSuffix} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
