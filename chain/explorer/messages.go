package explorer

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"

	"github.com/perdure/perdure/chain"
	"github.com/perdure/perdure/chain/consensus"
	"github.com/perdure/perdure/chain/index"
)

// Message is a message in a block.
type Message struct {
	Hash   string       `json:"hash"`
	Height chain.Height `json:"height"`
	Time   string       `json:"time"`
	Index  uint64       `json:"index"`          // among the block's messages
	Kind   string       `json:"kind,omitempty"` // absent if it does not decode
	From   string       `json:"from,omitempty"` // who signed it; not proven unless Code is ok or failed
	Nonce  uint64       `json:"nonce"`
	Size   uint64       `json:"size"` // bytes
	Code   string       `json:"code"` // ok, failed: fee paid and nothing else; others: no effect
	Error  string       `json:"error,omitempty"`
	ID     uint64       `json:"id,omitempty"` // of the miner, order or channel that it made
	Fee    chain.Amount `json:"fee"`          // base fee and tip
	Units  uint64       `json:"units"`
}

func (n names) messageOf(m *index.Message) *Message {
	out := &Message{Hash: chain.Hash(m.Receipt.Hash).String(), Height: m.Height, Time: clock(m.Time), Index: m.Index,
		From: n.addressBytes(m.From), Nonce: m.Nonce, Size: m.Size, Code: consensus.Code(m.Receipt.Code).String(),
		Error: m.Receipt.Error, ID: m.Receipt.ID, Fee: m.Receipt.Fee, Units: m.Receipt.Units}
	if m.Receipt.Kind != 0 {
		out.Kind = m.Receipt.Kind.String()
	}
	return out
}

// MessageContent is a message with what its bytes tell.
type MessageContent struct {
	*Message
	MaxFee *chain.Amount  `json:"maxFee,omitempty"`
	Tip    *chain.Amount  `json:"tip,omitempty"`
	Body   map[string]any `json:"body,omitempty"` // by the kind; proofs are shown by their size. Absent if it is long and its block is no longer kept
}

// MessageDetail is a message with its content and what it did.
type MessageDetail struct {
	*MessageContent
	Events []*Event `json:"events"`        // that it caused; the first 100
	Cut    bool     `json:"cut,omitempty"` // there are more: /v1/blocks/{height}/events has them
}

func (a *API) messageRoutes() []route {
	return []route{
		{path: "/v1/messages", query: ordered("address", "content"), handle: a.messages, indexed: true},
		{method: http.MethodPost, path: "/v1/messages", handle: a.submit, cost: 2},
		{path: "/v1/messages/{hash}", handle: a.message, indexed: true},
	}
}

func (a *API) messages(q *query) (any, error) {
	read := (*index.Snapshot).Messages
	if q.given("address") {
		who, err := parseAddress("address", q.values.Get("address"))
		if err != nil {
			return nil, err
		}
		read = func(s *index.Snapshot, p index.Page, each func(*index.Message) (bool, error)) ([]byte, error) {
			return s.MessagesOf(who, p, each)
		}
	}
	wanted, err := q.wantsContent()
	if err != nil {
		return nil, err
	}
	if !wanted {
		return history(q, 12, read, func(m *index.Message) (chain.Height, *Message) { return m.Height, q.messageOf(m) })
	}
	full := &contents{query: q}
	return history(q, 12, func(s *index.Snapshot, p index.Page, each func(*MessageContent) (bool, error)) ([]byte, error) {
		return read(s, p, func(m *index.Message) (bool, error) {
			out, err := full.of(m)
			if err != nil {
				return false, err
			}
			return each(out)
		})
	}, func(m *MessageContent) (chain.Height, *MessageContent) { return m.Height, m })
}

// wantsContent reads whether the messages of a list are to say what their bytes tell.
func (q *query) wantsContent() (bool, error) {
	i, err := q.choice("content", "true", "false")
	return i == 0, err
}

func (a *API) message(q *query) (any, error) {
	var hash chain.Hash
	if err := hash.UnmarshalText([]byte(clip(q.r.PathValue("hash")))); err != nil {
		return nil, badRequest("%v", err)
	}
	s, err := q.indexed()
	if err != nil {
		return nil, err
	}
	m, err := s.Message(hash)
	if err != nil {
		return nil, err
	}
	if m == nil {
		return nil, notFound("no block that is kept here has message %s", hash)
	}
	q.final = m.Effect() // one without may still come to have one, in another block
	content, err := (&contents{query: q}).of(m)
	if err != nil {
		return nil, err
	}
	out := &MessageDetail{MessageContent: content, Events: []*Event{}}
	err = s.MessageEvents(m, inBlock+1, func(e *index.Event) {
		if out.Cut = len(out.Events) == inBlock; !out.Cut {
			out.Events = append(out.Events, q.eventOf(&e.Event))
		}
	})
	return out, err
}

// contents tells what the bytes of messages say. The index has it, but for bodies
// that are long: these are in the blocks, of which the last one is held.
type contents struct {
	*query
	height chain.Height
	block  [][]byte
}

func (c *contents) of(m *index.Message) (*MessageContent, error) {
	out := &MessageContent{Message: c.messageOf(m)}
	if len(m.From) == 0 { // the bytes are no message: there is nothing more to say of them
		return out, nil
	}
	out.MaxFee, out.Tip = &m.MaxFee, &m.Tip
	msg := &chain.Message{Kind: chain.Kind(m.Receipt.Kind), Body: m.Body}
	if len(m.Body) == 0 {
		signed, err := c.inBlock(m)
		if signed == nil || err != nil {
			return out, err
		}
		msg = &signed.Message
	}
	body, err := msg.DecodeBody()
	if err != nil {
		return out, nil //nolint:nilerr // a message may hold a body that is none
	}
	out.Body = c.noun(body)
	if m.Proof > 0 {
		out.Body["proof"] = map[string]any{"bytes": m.Proof}
	}
	return out, nil
}

// inBlock reads a message from its block; nil: it is no longer kept.
func (c *contents) inBlock(m *index.Message) (*chain.SignedMessage, error) {
	if c.height != m.Height {
		block, err := c.api.node.Messages(c.context(), m.Height)
		if err != nil {
			return nil, err
		}
		c.height, c.block = m.Height, block
	}
	if m.Index >= uint64(len(c.block)) {
		return nil, nil
	}
	return chain.DecodeSigned(c.block[m.Index])
}

// Submission is a message in JSON: its encoding in one of two forms.
type Submission struct {
	Hex    string `json:"hex"`
	Base64 string `json:"base64"`
}

// Submitted is the answer to a message that the mempool took.
type Submitted struct {
	Hash string `json:"hash"`
	AsOf
}

func (a *API) submit(q *query) (any, error) {
	raw, err := q.submission()
	if err != nil {
		return nil, err
	}
	if err := a.node.Submit(q.context(), raw); err != nil {
		return nil, err
	}
	return accepted{&Submitted{chain.HashBytes(raw).String(), q.asOf()}}, nil
}

// submission reads a message from the request: CBOR, or JSON that holds it.
func (q *query) submission() ([]byte, error) {
	most := int64(q.params().MaxMessageBytes)
	content, _, err := mime.ParseMediaType(q.r.Header.Get("Content-Type"))
	if err != nil {
		content = ""
	}
	switch content {
	case "application/cbor", "application/octet-stream":
		return io.ReadAll(http.MaxBytesReader(q.w, q.r.Body, most))
	case contentJSON:
	default:
		return nil, problem(http.StatusUnsupportedMediaType, "want application/cbor with the signed message, or %s", contentJSON)
	}
	var s Submission
	d := json.NewDecoder(http.MaxBytesReader(q.w, q.r.Body, 2*most+1024))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return nil, err
		}
		return nil, badRequest("body: %v", err)
	}
	if (s.Hex == "") == (s.Base64 == "") {
		return nil, badRequest(`body: want one of "hex" and "base64"`)
	}
	raw, err := hex.DecodeString(s.Hex)
	if s.Base64 != "" {
		raw, err = base64.StdEncoding.DecodeString(s.Base64)
	}
	if err != nil {
		return nil, badRequest("body: %v", err)
	}
	if int64(len(raw)) > most {
		return nil, &http.MaxBytesError{Limit: most}
	}
	return raw, nil
}
