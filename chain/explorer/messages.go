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

// MessageDetail is a message with its content, if the block is kept.
type MessageDetail struct {
	*Message
	MaxFee *chain.Amount  `json:"maxFee,omitempty"`
	Tip    *chain.Amount  `json:"tip,omitempty"`
	Body   map[string]any `json:"body,omitempty"` // by the kind; proofs are shown by their size
	Events []*Event       `json:"events"`         // that it caused; the first 100
	Cut    bool           `json:"cut,omitempty"`  // there are more: /v1/blocks/{height}/events has them
}

func (a *API) messageRoutes() []route {
	return []route{
		{path: "/v1/messages", query: ordered("address"), handle: a.messages, indexed: true},
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
	return history(q, 12, read, func(m *index.Message) (chain.Height, *Message) { return m.Height, q.messageOf(m) })
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
	out := &MessageDetail{Message: q.messageOf(m), Events: []*Event{}}
	if err := a.content(q, m, out); err != nil {
		return nil, err
	}
	err = s.MessageEvents(m, inBlock+1, func(e *index.Event) {
		if out.Cut = len(out.Events) == inBlock; !out.Cut {
			out.Events = append(out.Events, q.eventOf(&e.Event))
		}
	})
	return out, err
}

// content adds what only the message's bytes tell.
func (a *API) content(q *query, m *index.Message, out *MessageDetail) error {
	block, err := a.node.Messages(q.context(), m.Height)
	if err != nil || m.Index >= uint64(len(block)) {
		return err
	}
	signed, err := chain.DecodeSigned(block[m.Index])
	if err != nil {
		return nil //nolint:nilerr // a block may hold bytes that are no message: there is nothing more to say of it
	}
	out.MaxFee, out.Tip = &signed.Message.MaxFee, &signed.Message.Tip
	if body, err := signed.Message.DecodeBody(); err == nil {
		out.Body = q.noun(body)
	}
	return nil
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
