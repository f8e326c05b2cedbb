package merkle

// Memo is a hasher that remembers what it computed, so that checking many plain paths of one tree
// costs each distinct node once. It is not safe for concurrent use.
type Memo[H Hasher] struct {
	hasher H
	known  map[string]Node
}

// NewMemo returns an empty memory in front of a hasher.
func NewMemo[H Hasher](h H) *Memo[H] { return &Memo[H]{hasher: h, known: make(map[string]Node)} }

// Hash returns the parent of the children; see [Hasher].
func (m *Memo[H]) Hash(children []Node) (Node, error) {
	var buf [MaxArity * NodeSize]byte
	key := AppendNodes(buf[:0], children)
	if node, ok := m.known[string(key)]; ok {
		return node, nil
	}
	node, err := m.hasher.Hash(children)
	if err == nil {
		m.known[string(key)] = node
	}
	return node, err
}

// HashRow computes a row through the memory; see [Hasher].
func (m *Memo[H]) HashRow(arity int, children, parents []Node) error {
	return HashEach(m, arity, children, parents)
}
