package gateway

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"
)

// shutdown is how long responses under way may go on after the end.
const shutdown = 5 * time.Second

// How long a client may take: to send a request, and to send the next one.
const (
	requestTime = 10 * time.Second
	idleTime    = time.Minute
)

// Serve answers on a listener until ctx ends; what is under way then is given a
// few seconds. It closes the listener.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	server := newServer(h, requestTime, newCrowd(maxConns, maxPeerConns))
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		grace, cancel := context.WithTimeout(context.Background(), shutdown)
		defer cancel()
		if server.Shutdown(grace) != nil {
			server.Close()
		}
	})
	err := server.Serve(l)
	if !stop() {
		<-done
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// newServer is a server whose clients have a time to send a request, headers and
// body. The gateway itself reads no bodies.
func newServer(h http.Handler, request time.Duration, conns *crowd) *http.Server {
	return &http.Server{Handler: h, ReadTimeout: request, IdleTimeout: idleTime, MaxHeaderBytes: 64 << 10, ConnState: conns.note}
}

// patience ends responses whose reader takes nothing for as long as stall. Each
// would else hold a file and a goroutine for good.
func patience(stall time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := &patient{ResponseWriter: w, control: http.NewResponseController(w), stall: stall}
		next.ServeHTTP(p, r)
		p.wait() // for what is still to be flushed
	})
}

// patient is a response whose reader has to take something every stall.
type patient struct {
	http.ResponseWriter
	control *http.ResponseController
	stall   time.Duration
	begun   bool
}

// maxWrite is the most bytes that a reader has to take at one time.
const maxWrite = 64 << 10

// wait gives the reader time from now on.
func (p *patient) wait() {
	// A writer without deadlines, as tests have them, has no reader to wait for.
	_ = p.control.SetWriteDeadline(time.Now().Add(p.stall))
}

// Unwrap is for http.ResponseController.
func (p *patient) Unwrap() http.ResponseWriter { return p.ResponseWriter }

// WriteHeader implements http.ResponseWriter. A second one, which boxo sends where
// something fails late, is no news.
func (p *patient) WriteHeader(code int) {
	if !p.begun {
		p.begun = code >= http.StatusOK
		p.wait()
		p.ResponseWriter.WriteHeader(code)
	}
}

// Write implements io.Writer.
func (p *patient) Write(b []byte) (written int, err error) {
	p.begun = true
	for {
		p.wait()
		n, err := p.ResponseWriter.Write(b[:min(len(b), maxWrite)])
		written += n
		if b = b[n:]; err != nil || len(b) == 0 {
			return written, err
		}
	}
}
