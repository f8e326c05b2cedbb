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

// Serve answers on a listener until ctx ends; what is under way then is given a
// few seconds. It closes the listener.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 64 << 10}
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

// patient is a response whose reader has to take something every stall. A reader
// that takes nothing would else hold a file and a goroutine for good.
type patient struct {
	http.ResponseWriter
	control *http.ResponseController
	stall   time.Duration
}

func newPatient(w http.ResponseWriter, stall time.Duration) patient {
	return patient{w, http.NewResponseController(w), stall}
}

// Write implements io.Writer.
func (p patient) Write(b []byte) (int, error) {
	// A writer without deadlines, as tests have them, has no reader to wait for.
	_ = p.control.SetWriteDeadline(time.Now().Add(p.stall))
	return p.ResponseWriter.Write(b)
}
