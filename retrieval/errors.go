package retrieval

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Code says what kind of refusal an Error is. Numbers are on the wire: never
// reuse one.
type Code uint64

// The codes. Those up to CodeUnsupported blame the peer that reads them.
const (
	CodeMalformed   Code = 1 // a frame breaks the protocol
	CodeUnsupported Code = 2 // another version, chain or content than this peer has to do with
	CodeNotFound    Code = 3 // this seller does not hold it
	CodeUnavailable Code = 4 // held, but not to be had now
	CodeBusy        Code = 5 // a limit on sessions is reached
	CodeRefused     Code = 6 // no deal entitles this peer to it
	CodeVoucher     Code = 7 // the voucher or tick does not meet the offer
	CodeUnpaid      Code = 8 // the credit window is used up
	CodeTimeout     Code = 9 // the other side was silent too long
	CodeInternal    Code = 10
)

var codeNames = [...]string{"", "malformed", "unsupported", "not-found", "unavailable", "busy",
	"refused", "voucher", "unpaid", "timeout", "internal"}

// String returns the code as one word.
func (c Code) String() string {
	if c == 0 || int(c) >= len(codeNames) {
		return fmt.Sprintf("code(%d)", uint64(c))
	}
	return codeNames[c]
}

// Error is a refusal that crosses the wire, and ends the session. It is an
// error, and a Message.
type Error struct {
	Code Code
	Text string `cborgen:"maxlen=256"` // one line for people
}

// Errorf makes an Error with a text that fits into one.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Text: plainText(fmt.Sprintf(format, args...))}
}

// Error returns the code and the text.
func (e *Error) Error() string { return e.Code.String() + ": " + e.Text }

// Validate checks the form of the message: the text is one printable line, so
// that it can be shown as it is.
func (e *Error) Validate() error {
	if e.Code == 0 || plainText(e.Text) != e.Text {
		return malformed("error with code %d whose text is no plain line", uint64(e.Code))
	}
	return nil
}

// ToWire returns what a peer is told about err: the Error in it, Malformed for
// a frame that breaks the protocol, or Internal without a word about this
// side's insides.
func ToWire(err error) *Error {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, errForm):
		return Errorf(CodeMalformed, "%s", err)
	}
	return Errorf(CodeInternal, "the peer could not go on")
}

// CodeOf returns the code of the Error in err, or 0.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

// IsMalformed reports whether err is about a frame that breaks the protocol.
func IsMalformed(err error) bool { return errors.Is(err, errForm) }

// plainText makes one line of at most MaxText bytes without control characters.
func plainText(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 {
			return '?'
		}
		return r
	}, s)
	for len(s) > MaxText {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return s
}
