package gateway

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// TestShares: clients that take all they can get equal parts once each has given
// back what it had, and one part is left for the next.
func TestShares(t *testing.T) {
	const all, clients = 1 << 20, 7
	m := newMemory(all)
	grab := func(who string) int64 {
		for n := int64(all); n > 0; n /= 2 {
			for m.take(who, n) {
			}
		}
		return m.held[who]
	}
	if got := grab("first"); got != all/2 {
		t.Errorf("alone a client gets %d of %d bytes", got, all)
	}
	m.give("first", all/2)
	for range 20 {
		for i := range clients {
			who := fmt.Sprint(i)
			m.give(who, m.held[who])
			if grab(who) == 0 {
				t.Fatalf("client %s gets nothing", who)
			}
		}
	}
	const part = all / (clients + 1)
	near := func(n int64) bool { return n > part-part/8 && n < part+part/8 }
	for who, held := range m.held {
		if !near(held) {
			t.Errorf("client %s has %d bytes, want about %d", who, held, part)
		}
	}
	if !near(m.left) {
		t.Errorf("%d bytes are left, want about %d", m.left, part)
	}
	for who, held := range m.held {
		m.give(who, held)
	}
	if m.left != all || len(m.held) != 0 {
		t.Errorf("in the end %d bytes are left, %d clients remembered", m.left, len(m.held))
	}
}

// reader takes nothing of a file before it is let go.
type reader struct {
	*httptest.ResponseRecorder
	begun sync.Once
	asked chan<- bool // whether there is an answer
	let   <-chan struct{}
}

func (r *reader) Write(b []byte) (int, error) {
	served := r.Code != http.StatusServiceUnavailable
	r.begun.Do(func() { r.asked <- served })
	if served {
		<-r.let
	}
	return r.ResponseRecorder.Write(b)
}

// TestGreedyClient asks for more and more from one address, taking none of the
// answers: when that one gets 503, another is served whole, by what is left and
// with requests of the same kind.
func TestGreedyClient(t *testing.T) {
	w := newWorkshop()
	path := "/ipfs/" + w.wideFile(t, 4).String()
	h, err := New(Config{Source: storeOf(t, Terms{}, w.archive(t)), MaxMemory: 32 << 20})
	if err != nil {
		t.Fatal(err)
	}
	get := func(w http.ResponseWriter, from string) {
		r := httptest.NewRequest("GET", path, nil)
		r.RemoteAddr = from
		h.ServeHTTP(w, r)
	}
	asked, let := make(chan bool), make(chan struct{})
	var under sync.WaitGroup
	begin := func(from string) (served bool) {
		under.Go(func() { get(&reader{ResponseRecorder: httptest.NewRecorder(), asked: asked, let: let}, from) })
		return <-asked
	}
	held := 0
	for ; held < 100 && begin(fmt.Sprintf("192.0.2.1:%d", held)); held++ {
	}
	if held != 5 { // of 3 MiB
		t.Errorf("one client has %d answers under way", held)
	}
	answer := httptest.NewRecorder()
	if get(answer, "192.0.2.2:1"); answer.Code != http.StatusOK || answer.Body.Len() != 4*256<<10 {
		t.Errorf("another client: %d, %d bytes", answer.Code, answer.Body.Len())
	}
	if !begin("192.0.2.2:2") || !begin("192.0.2.2:3") {
		t.Error("another client does not get two answers beside each other")
	}
	close(let)
	under.Wait()
	answer = httptest.NewRecorder()
	if get(answer, "192.0.2.1:1"); answer.Code != http.StatusOK {
		t.Errorf("the greedy client afterwards: %d", answer.Code)
	}
}
